/**
 * Trainable numbers of a model in closed form, from its config alone. The built model counts its own variables
 * (`parameterCount` of @caramba/model); both agree.
 */
import { layerSpec } from "./layer.ts";
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
  return layerSpec(node).parameters(node);
}
