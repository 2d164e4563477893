// The passes that stand between what was written and what a backend compiles. Each is a function Graph -> Graph.
// Common subexpressions need no pass while building (hash-consing merges them); `cse` merges across leaves of equal
// content and after rewriting.
import { staticShape } from "../dim.ts";
import { allocHost, type DType, f16ToF32, type HostArray, toHalfBits } from "../dtype.ts";
import { Graph } from "../graph.ts";
import { attrsKey, constant, constantValue, makeNode, type RefValue, type Tensor, typeKey } from "../tensor.ts";
import { rewrite } from "./rewrite.ts";

export type Pass = (graph: Graph) => Graph;

/** Text of values; unlike join() it tells -0 from 0, as 1/x does. */
const valuesKey = (values: HostArray): string => Array.from(values, (v) => (Object.is(v, -0) ? "-0" : v)).join();

/** Merges nodes that compute the same, constants by content included. */
export const cse: Pass = (graph) => {
  const seen = new Map<string, Tensor>();
  const number = new Map<Tensor, number>();
  const id = (t: Tensor) => {
    const known = number.get(t);
    if (known !== undefined) return known;
    number.set(t, number.size);
    return number.size - 1;
  };
  const { outputs } = rewrite(graph.outputs, (node, inputs) => {
    const values = constantValue(node);
    if (node.leaf && !values) return undefined;
    const key = values
      ? `${typeKey(node)}=${values.length <= 4096 ? valuesKey(values) : id(node)}`
      : `${node.op.name}(${inputs.map(id).join()})${attrsKey(node.attrs)}`;
    const found = seen.get(key);
    if (found) return found;
    const fresh = values ? node : makeNode(node.op, inputs, node.attrs);
    seen.set(key, fresh);
    return fresh;
  });
  return new Graph(outputs);
};

/** Replaces composites outside `claimed` by their decompositions, down to primitives. */
export function lowerComposites(claimed: ReadonlySet<string>): Pass {
  return (graph) => {
    let current = graph;
    for (;;) {
      const present = new Set(current.nodes);
      const { outputs } = rewrite(current.outputs, (node, inputs) => {
        const { decompose } = node.op;
        if (!decompose) return undefined;
        if (!claimed.has(node.op.name)) return decompose(inputs, node.attrs);
        // Claimed, but its parts are computed anyway (a gradient needed them): do not compute it twice. What only passes
        // an input on (`after`) was claimed for something else than its value.
        const parts = decompose(inputs, node.attrs);
        return present.has(parts) && !inputs.includes(parts) ? parts : undefined;
      });
      if (outputs.every((t, i) => t === current.outputs[i])) return current;
      current = new Graph(outputs);
    }
  };
}

/** Values of a host array as float64. */
export function toRef(data: HostArray, shape: readonly number[], dtype: DType): RefValue {
  const values = dtype === "float16" ? f16ToF32(data as Uint16Array) : data;
  return { shape, dtype, data: Float64Array.from(values) };
}

/** Rounds float64 values to the storage of a dtype. */
export function fromRef(value: RefValue): HostArray {
  const out = allocHost(value.dtype, value.data.length);
  if (value.dtype === "float16") for (let i = 0; i < out.length; i++) out[i] = toHalfBits(value.data[i] as number);
  else out.set(value.data);
  return out;
}

/** Largest constant that folding may create, in elements: a folded mask is welcome, a folded logits table is not. */
const foldLimit = 1 << 22;

/** Computes what depends on constants alone. Broadcasts of scalars are left to the engine. */
export const foldConstants: Pass = (graph) => {
  const { outputs } = rewrite(graph.outputs, (node, inputs) => {
    const shape = staticShape(node.shape);
    const { evaluate } = node.op;
    if (node.leaf || !shape || !evaluate || node.op.name === "broadcastTo") return undefined;
    if (shape.reduce((a, b) => a * b, 1) > foldLimit) return undefined;
    const values: RefValue[] = [];
    for (const input of inputs) {
      const data = constantValue(input);
      if (!data) return undefined;
      values.push(toRef(data, input.shape as number[], input.dtype));
    }
    const data = evaluate(values, node.attrs, shape);
    return constant(fromRef({ shape, dtype: node.dtype, data }), shape, node.dtype);
  });
  return new Graph(outputs);
};

/** Drops what no output needs. A Graph holds only reachable nodes, so this just rebuilds it. */
export const eliminateDead: Pass = (graph) => new Graph(graph.outputs);

/** Applies passes in order. */
export function pipeline(...passes: readonly Pass[]): Pass {
  return (graph) => passes.reduce((g, pass) => pass(g), graph);
}
