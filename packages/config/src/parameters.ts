/**
 * Trainable numbers of a model in closed form, from its config alone. The built model counts its own variables
 * (`parameterCount` of @caramba/model); both agree.
 */
import { layerSpec } from "./layer.ts";
import type { ModelConfig } from "./model.ts";
import type { NodeConfig } from "./topology.ts";
import { sumLayers } from "./tree.ts";

/** Parameters of a model: embedder and topology, repeated copies counted each. */
export function modelParameters(model: Pick<ModelConfig, "embedder" | "topology">): number {
  const { embedder, topology } = model;
  const table = embedder.type === "token" ? embedder.vocabSize * embedder.dModel : 0;
  return table + nodeParameters(topology);
}

/** Numbers that a model stores and does not train. */
export function frozenParameters(model: Pick<ModelConfig, "topology">): number {
  return sumLayers(model.topology, (layer) => layerSpec(layer).frozen?.(layer) ?? 0);
}

/** Parameters of a layer, or of a topology with its repeats. */
export function nodeParameters(node: NodeConfig): number {
  return sumLayers(node, (layer) => layerSpec(layer).parameters(layer));
}
