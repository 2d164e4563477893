/**
 * Trainable numbers of a model in closed form, from its config alone. The built model counts its own variables
 * (`parameterCount` of @caramba/model); both agree.
 */
import { type LayerConfig, layerSpec } from "./layer.ts";
import type { ModelConfig } from "./model.ts";
import { isTopology, type NodeConfig } from "./topology.ts";

/** Parameters of a model: embedder and topology, repeated copies counted each. */
export function modelParameters(model: Pick<ModelConfig, "embedder" | "topology">): number {
  const { embedder, topology } = model;
  const table = embedder.type === "token" ? embedder.vocabSize * embedder.dModel : 0;
  return table + nodeParameters(topology);
}

/** Numbers that a model stores and does not train. */
export function frozenParameters(model: Pick<ModelConfig, "topology">): number {
  return nodeSum(model.topology, (layer) => layerSpec(layer).frozen?.(layer) ?? 0);
}

/** Parameters of a layer, or of a topology with its repeats. */
export function nodeParameters(node: NodeConfig): number {
  return nodeSum(node, (layer) => layerSpec(layer).parameters(layer));
}

/** A count over the layers of a node, repeated copies counted each (CyclicTopology goes round with one set of weights). */
function nodeSum(node: NodeConfig, count: (layer: LayerConfig) => number): number {
  if (!isTopology(node)) return count(node);
  const sum = node.layers.reduce((total, child) => total + nodeSum(child, count), 0);
  return node.type === "CyclicTopology" ? sum : sum * node.repeat;
}
