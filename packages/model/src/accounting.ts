// What a model costs: parameters, arithmetic, cache. Counted from the modules and graphs that run, so that a figure
// cannot drift from what is allocated.
import { stateCopies } from "@caramba/kvcache";
import { AttentionLayer, type CachedModule, type CachePart, type Module, type StatefulModule } from "@caramba/layers";
import { CarambaError, Graph, graphFlops, input, type SymDim, sym, type Tensor } from "@caramba/tensor";
import { Model } from "./model.ts";

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

/** One call of a layer that remembers, during a forward pass. */
export interface MemoryCall<M extends Module> {
  readonly path: string;
  readonly layer: M;
}

/** What a model remembers while decoding, in order of execution. */
export interface ModelMemory {
  /** Calls that keep rows per token: a layer that is called twice (CyclicTopology) keeps two sets. */
  readonly rows: readonly MemoryCall<CachedModule>[];
  /** Calls that keep a state of constant size. */
  readonly states: readonly MemoryCall<StatefulModule>[];
}

/**
 * Runs a forward pass that records which layers ask for a cache or a state, in order. `continued`: over a past, as a
 * decoder does after the prompt; layers that cannot go on from one say so. Default: as at the start of a sequence.
 */
export function modelMemory(module: Module, options: { readonly continued?: boolean } = {}): ModelMemory {
  const known = options.continued ? continuing : beginning;
  const found = known.get(module) ?? findMemory(module, options.continued ?? false);
  known.set(module, found);
  return found;
}

// A module's structure never changes, and counts ask for it again and again.
const beginning = new WeakMap<Module, ModelMemory>();
const continuing = new WeakMap<Module, ModelMemory>();

function findMemory(module: Module, continued: boolean): ModelMemory {
  const rows: MemoryCall<CachedModule>[] = [];
  const states: MemoryCall<StatefulModule>[] = [];
  if (!module.modules().some(({ module: m }) => "cacheParts" in m || "stateParts" in m)) return { rows, states };
  const past = (name: string, shape: readonly (number | SymDim)[]) => input(`past.${name}`, shape);
  module.forward(sampleInput(module), {
    cache: (path, layer) => {
      rows.push({ path, layer });
      const [k, v] = layer.cacheParts.map((part) => past(part.name, [sym("P"), part.heads, part.width]));
      return { past: continued && k && v ? { k, v } : null, append: () => {} };
    },
    state: (path, layer) => {
      states.push({ path, layer });
      const parts = layer.stateParts.map((part) => [part.name, past(part.name, [1, ...part.shape])] as const);
      return { past: continued ? new Map(parts) : null, update: () => {} };
    },
  });
  return { rows, states };
}

/** One token, or one token's features of the width that the first layer declares. */
function sampleInput(module: Module): Tensor {
  if (module instanceof Model && module.embedder) return input("tokens", [1, 1], "int32");
  return input("features", [1, 1, widthOf(module)]);
}

/** Numbers cached per token over all layers: keys and values, and keys alone. */
export function kvElementsPerToken(module: Module): { readonly total: number; readonly keysOnly: number } {
  let [total, keysOnly] = [0, 0];
  for (const { layer } of modelMemory(module).rows) {
    total += elements(layer.cacheParts);
    keysOnly += elements(layer.cacheParts.filter((part) => part.name === "k"));
  }
  return { total, keysOnly };
}

/** Numbers of constant-size state per sequence over all layers (SSM, RNN, causal convolution). */
export function stateElements(module: Module): number {
  const sizes = modelMemory(module).states.flatMap(({ layer }) => layer.stateParts.map(({ shape }) => shape));
  return sizes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

/** Bytes of state per sequence, in float32: what a step reads, without the copy that it writes. */
export function stateBytes(module: Module): number {
  return 4 * stateElements(module);
}

/**
 * Bytes that a decoder's cache takes for one sequence of `length` tokens: rows for a storage kind, and states with their
 * second copy. Equal to what ModelCache allocates for a capacity of `length`.
 */
export function cacheBytes(module: Module, length: number, kind: keyof typeof cacheBytesPerElement = "fp16"): number {
  return kvBytesPerToken(module, kind) * length + stateCopies * stateBytes(module);
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

/** The width that the first layer that declares one takes. */
export function widthOf(module: Module): number {
  for (const { module: m } of module.modules()) {
    const { dModel, dIn, inputSize } = (m as { config?: Readonly<Record<string, unknown>> }).config ?? {};
    for (const width of [dModel, dIn, inputSize]) if (typeof width === "number") return width;
  }
  throw new CarambaError("a model without embedder, of layers for any width, has no known input width", {
    code: "model",
    remedy: "count the graph of model.forward(input(...)) with graphFlops",
  });
}
