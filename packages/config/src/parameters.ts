/**
 * Trainable numbers of a model in closed form, from its config alone. The built model counts its own variables
 * (`parameterCount` of @caramba/model); both agree.
 */
import { type AttentionLayerConfig, attentionGeometry } from "./attention.ts";
import type { ModelConfig } from "./model.ts";
import { isTopology, type NodeConfig } from "./topology.ts";

/** Parameters of a model: embedder and topology, repeated copies counted each. */
export function modelParameters(model: Pick<ModelConfig, "embedder" | "topology">): number {
  const { embedder, topology } = model;
  const table = embedder.type === "token" ? embedder.vocabSize * embedder.dModel : 0;
  return table + nodeParameters(topology);
}

/** Parameters of a layer, or of a topology with its repeats (CyclicTopology goes round with one set of weights). */
export function nodeParameters(node: NodeConfig): number {
  if (isTopology(node)) {
    const sum = node.layers.reduce((total, child) => total + nodeParameters(child), 0);
    return node.type === "CyclicTopology" ? sum : sum * node.repeat;
  }
  switch (node.type) {
    case "LinearLayer":
      return node.dOut * (node.dIn + (node.bias ? 1 : 0));
    case "LayerNormLayer":
      return 2 * node.dModel;
    case "RMSNormLayer":
      return node.elementwiseAffine ? node.dModel : 0;
    case "DropoutLayer":
      return 0;
    case "SwiGLULayer":
      return 3 * node.dModel * node.dFf + (node.bias ? 2 * node.dFf + node.dModel : 0);
    case "AttentionLayer":
      return attentionParameters(node);
  }
}

function attentionParameters(layer: AttentionLayerConfig): number {
  const { nHeads, nKvHeads, headDim, semHeadDim, vHeadDim, vDim } = attentionGeometry(layer);
  const tied = layer.mode === "decoupled" && layer.tieQk ? nKvHeads * semHeadDim : 0;
  const rows = nHeads * headDim + nKvHeads * (headDim + vHeadDim) - tied;
  const bias = layer.bias ? rows + layer.dModel : 0;
  const gate = layer.decoupledGate ? nHeads : 0;
  return rows * layer.dModel + layer.dModel * vDim + bias + gate;
}
