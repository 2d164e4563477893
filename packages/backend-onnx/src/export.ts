// A graph as an ONNX model for others: named inputs and outputs, standard operators of opset 21 alone, and its variables
// as tensors in a file beside the model (ONNX calls that external data), which several models may share. Nothing here
// touches a disk; the caller writes the model's bytes, and each variable's at its place.
// Source: https://github.com/onnx/onnx/blob/main/docs/IR.md and docs/ExternalData.md
import {
  CarambaError,
  constantValue,
  dimKey,
  Graph,
  leafName,
  prepareGraph,
  type Shape,
  SymDim,
  type Tensor,
  Variable,
} from "@caramba/tensor";
import { Emitter } from "./emit/emitter.ts";
import { claimedByStandard, emitters } from "./emit/table.ts";
import { encodeModel, type OnnxNode } from "./onnx-model.ts";

/** A variable's place in the weights file. */
export interface WeightPlace {
  readonly variable: Variable;
  readonly offset: number;
  readonly byteLength: number;
}

/** The places of variables in one weights file, for one model or several that share it. */
export class WeightsLayout {
  /** Name of the file, relative to the models. */
  readonly location: string;
  readonly #places = new Map<Variable, WeightPlace>();
  #end = 0;

  constructor(location: string) {
    this.location = location;
  }

  /** In the order of the file. */
  get places(): readonly WeightPlace[] {
    return [...this.#places.values()];
  }

  /** Length of the file. */
  get byteLength(): number {
    return this.#end;
  }

  /** The place of a variable, the next free one when it has none yet. Tensors of a page and more begin at one. */
  placeOf(variable: Variable): WeightPlace {
    const known = this.#places.get(variable);
    if (known) return known;
    const byteLength = variable.size * bytesPerElement[variable.dtype];
    const step = byteLength >= page ? page : 64;
    const offset = Math.ceil(this.#end / step) * step;
    const place = { variable, offset, byteLength };
    this.#places.set(variable, place);
    this.#end = offset + byteLength;
    return place;
  }
}

const page = 4096;
const bytesPerElement = { float32: 4, int32: 4, float16: 2, int8: 1, uint8: 1, bool: 1 } as const;

/**
 * Bytes of a model whose inputs are the graph's inputs, by name, and whose outputs have the names given.
 * @throws CarambaError `export` for a graph that draws random numbers or uses a name twice.
 */
export function exportGraph(
  outputs: Readonly<Record<string, Tensor>>,
  weights: WeightsLayout,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const names = Object.keys(outputs);
  const { graph } = prepareGraph(new Graph(Object.values(outputs)), claimedByStandard);
  const variables = new Map<Tensor, Variable>();
  for (const leaf of graph.inputs)
    if (leaf.leaf?.kind === "variable" && leaf.leaf.variable instanceof Variable)
      variables.set(leaf, leaf.leaf.variable);
  const leaves = new Map(graph.inputs.map((leaf) => [leaf, variables.get(leaf)?.name ?? leafName(leaf)]));
  const taken = new Set<string>();
  for (const [leaf, name] of leaves) {
    if (leaf.leaf?.kind === "random")
      throw refused(`it draws random numbers (${name})`, "build it with training switched off");
    if (taken.has(name) || names.includes(name)) throw refused(`two values are named ${name}`, "name them apart");
    taken.add(name);
  }
  // Names of values in between begin as none of the caller's does.
  let prefix = "/";
  while ([...taken, ...names].some((name) => name.startsWith(prefix))) prefix += "/";
  const e = new Emitter(graph.nodes, emitters, "standard", leaves, prefix);
  for (const node of graph.nodes) {
    const value = constantValue(node);
    if (value) e.define(node, e.constant(node.dtype, node.shape as number[], value));
  }
  for (const node of graph.nodes) e.value(node);
  const values = graph.outputs.map((node) => e.value(node));
  const { nodes, initializers } = e.finish(values);
  const copies = values.map(
    (name, i): OnnxNode => ({
      name: `/output#${i}`,
      op: "Identity",
      domain: "",
      inputs: [name],
      outputs: [names[i] as string],
      attrs: {},
    }),
  );
  const stored = [...variables.values()].map((variable) => {
    const { offset, byteLength } = weights.placeOf(variable);
    const data = { location: weights.location, offset, length: byteLength };
    return { name: variable.name, dtype: variable.dtype, dims: variable.shape, data };
  });
  const fed = graph.inputs.filter((leaf) => !variables.has(leaf));
  return encodeModel(
    {
      nodes: [...nodes, ...copies],
      initializers: [...initializers, ...stored],
      inputs: fed.map((leaf) => ({ name: leafName(leaf), dtype: leaf.dtype, dims: named(leaf.shape) })),
      outputs: graph.outputs.map((node, i) => ({
        name: names[i] as string,
        dtype: node.dtype,
        dims: named(node.shape),
      })),
    },
    metadata,
  );
}

/** Extents of an input or output; a computed one goes by its formula, such as `2*batch`. */
const named = (shape: Shape): (number | string)[] => shape.map((d) => (d instanceof SymDim ? dimKey(d) : d));

const refused = (why: string, remedy: string): CarambaError =>
  new CarambaError(`this graph cannot be exported: ${why}`, { code: "export", remedy });
