// What a model costs: parameters, arithmetic, cache. Counted from the modules and graphs that run, so that a figure
// cannot drift from what is allocated.
import { AttentionLayer, type CachePart, type Module } from "@caramba/layers";
import { CarambaError, Graph, graphFlops, input } from "@caramba/tensor";
import type { Model } from "./model.ts";

/** Bytes per cached number, scales included: blocks of 32 share one 2-byte scale in the quantised kinds. */
export const cacheBytesPerElement: Readonly<Record<"fp32" | "fp16" | "q8_0" | "q4_0" | "nf4", number>> = {
  fp32: 4,
  fp16: 2,
  q8_0: 1.0625,
  q4_0: 0.5625,
  nf4: 0.5625,
};

/** Trainable numbers. */
export function parameterCount(module: Module): number {
  let total = 0;
  for (const variable of module.variables().values()) if (variable.trainable) total += variable.size;
  return total;
}

/** Attention layers in order, with their paths. */
export function attentionLayers(module: Module): { readonly path: string; readonly layer: AttentionLayer }[] {
  return module.modules().flatMap(({ path, module: m }) => (m instanceof AttentionLayer ? [{ path, layer: m }] : []));
}

const elements = (parts: readonly CachePart[]): number => parts.reduce((sum, p) => sum + p.heads * p.width, 0);

/** Numbers cached per token over all layers: keys and values, and keys alone. */
export function kvElementsPerToken(module: Module): { readonly total: number; readonly keysOnly: number } {
  let [total, keysOnly] = [0, 0];
  for (const { layer } of attentionLayers(module)) {
    total += elements(layer.cacheParts);
    keysOnly += elements(layer.cacheParts.filter((part) => part.name === "k"));
  }
  return { total, keysOnly };
}

/** Bytes cached per token over all layers, keys and values, for a storage kind. */
export function kvBytesPerToken(module: Module, kind: keyof typeof cacheBytesPerElement = "fp16"): number {
  return kvElementsPerToken(module).total * cacheBytesPerElement[kind];
}

/** Floating-point operations of one forward pass per token at context length `length` (products only). */
export function forwardFlopsPerToken(model: Model, length: number): number {
  const ids = model.embedder ? input("tokens", [1, length], "int32") : input("features", [1, length, widthOf(model)]);
  return graphFlops(new Graph([model.forward(ids)])) / length;
}

function widthOf(model: Model): number {
  const [first] = attentionLayers(model);
  if (!first)
    throw new CarambaError("a model without embedder and attention has no known input width", {
      code: "model",
      remedy: "count the graph of model.forward(input(...)) with graphFlops",
    });
  return first.layer.config.dModel;
}
