// A graph as a model, and what one must know to run it: which input goes where, what shapes come out, which inputs are
// indices. Names in the model are positions (x0, x1, ..., y0, y1, ...), so that graphs of equal hash share a session.
import {
  CarambaError,
  constantValue,
  type Dim,
  type DType,
  Graph,
  isFed,
  loopBody,
  prepareGraph,
  type Shape,
  SymDim,
  type Tensor,
} from "@caramba/tensor";
import { type Device, Emitter } from "./emit/emitter.ts";
import { stepOf } from "./emit/loop.ts";
import { claimed, emitters } from "./emit/table.ts";
import { encodeModel, type OnnxNode, type OnnxValue } from "./onnx-model.ts";

/** One output of a session. */
export interface PlannedOutput {
  readonly name: string;
  readonly dtype: DType;
  /** The shape that was asked for. */
  readonly shape: Shape;
  /** The shape in which ORT holds it; the same values. */
  readonly held: Shape;
}

/** Values of an input that must lie in [0, limit). */
export interface IndexRange {
  /** Position among the graph's inputs. */
  readonly input: number;
  readonly limit: Dim;
  /** Layer path and op that reads it. */
  readonly reader: string;
}

/** A model ready for a session. */
export interface Plan {
  readonly model: Uint8Array;
  readonly nodes: number;
  /** Whether the model has the output `finale`. */
  readonly ending: boolean;
  /** Model input x_i is the graph's input `inputOrder[i]`. */
  readonly inputOrder: readonly number[];
  readonly outputs: readonly PlannedOutput[];
  readonly ranges: readonly IndexRange[];
}

/** Protocol buffers end at 2 GiB; leave room for the nodes. */
const maxConstantBytes = 2 ** 31 - 2 ** 25;

/** The output that ends a run without handing results over; see executable.ts. */
export const finale = "done";

/** Dimensions as a model declares them. */
export const dims = (shape: Shape): OnnxValue["dims"] => shape.map((d) => (d instanceof SymDim ? d.symbol : d));

/** The fed leaf that an index tensor is, seen through reshapes. */
function indexLeaf(t: Tensor): Tensor | undefined {
  if (t.op.name === "reshape") return indexLeaf(t.inputs[0] as Tensor);
  return isFed(t) ? t : undefined;
}

/** What bounds the indices of an op: its position among the inputs, and the extent. */
function indexBound(t: Tensor): { indices: Tensor; limit: Dim } | undefined {
  const [a, b] = t.inputs as [Tensor, Tensor];
  switch (t.op.name) {
    case "gather":
      return { indices: b, limit: a.shape[0] as Dim };
    case "takeAlong":
    case "scatterAddAlong":
      return { indices: b, limit: a.shape[a.rank - 1] as Dim };
    case "scatterAdd":
      return { indices: a, limit: t.attrs["rows"] as Dim };
    default:
      return undefined;
  }
}

/** Fed leaves that `nodes` take indices from, in the steps of loops too, where rows and shared values stand for leaves. */
function* indexReads(
  nodes: readonly Tensor[],
  leafOf: (t: Tensor) => Tensor | undefined,
): Generator<{ readonly leaf: Tensor; readonly limit: Dim; readonly node: Tensor }> {
  for (const node of nodes) {
    const bound = indexBound(node);
    const leaf = bound && leafOf(bound.indices);
    if (leaf) yield { leaf, limit: bound.limit, node };
    const body = loopBody(node);
    if (!body) continue;
    const { placeholders, outputs } = stepOf(node);
    const given = new Map(placeholders.map((placeholder, i) => [placeholder, node.inputs[i] as Tensor]));
    // Carries are computed: like all indices that are, ORT alone looks at them.
    for (const carry of placeholders.slice(0, body.carry.length)) given.delete(carry);
    yield* indexReads(prepareGraph(new Graph(outputs), claimed).graph.nodes, (t) => {
      const outside = given.get(indexLeaf(t) ?? t);
      return outside && leafOf(outside);
    });
  }
}

/** ORT takes negative indices from the end, and its messages name no input: ranges are checked before the run. */
function indexRanges(graph: Graph, inputOrder: readonly number[]): IndexRange[] {
  const ranges = new Map<string, IndexRange>();
  for (const { leaf, limit, node } of indexReads(graph.nodes, indexLeaf)) {
    const input = inputOrder[graph.inputs.indexOf(leaf)] as number;
    const key = `${input}<${limit}`;
    if (!ranges.has(key))
      ranges.set(key, { input, limit, reader: `${node.scope ? `${node.scope}: ` : ""}${node.op.name}` });
  }
  return [...ranges.values()];
}

function rename(node: OnnxNode, names: ReadonlyMap<string, string>): OnnxNode {
  const to = (name: string) => names.get(name) ?? name;
  const attrs = Object.fromEntries(
    Object.entries(node.attrs).map(([key, value]) =>
      typeof value === "object" && "body" in value
        ? [key, { body: { ...value.body, nodes: value.body.nodes.map((inner) => rename(inner, names)) } }]
        : [key, value],
    ),
  );
  return { ...node, attrs, inputs: node.inputs.map(to), outputs: node.outputs.map(to) };
}

/** Lowers a graph and writes its model. */
export function planGraph(original: Graph, device: Device): Plan {
  const { graph, inputOrder } = prepareGraph(original, claimed);
  const constants = graph.nodes.filter((node) => constantValue(node));
  const bytes = constants.reduce((total, node) => total + (constantValue(node)?.byteLength ?? 0), 0);
  if (bytes > maxConstantBytes)
    throw new CarambaError(`the constants of this graph take ${bytes} bytes, more than an ONNX model holds`, {
      code: "model-size",
      remedy: "keep large arrays in Variables or inputs, which are not part of the model",
    });

  const leaves = new Map(graph.inputs.map((leaf, i) => [leaf, `x${i}`]));
  const e = new Emitter(graph.nodes, emitters, device, leaves);
  for (const node of constants)
    e.define(node, e.constant(node.dtype, node.shape as number[], constantValue(node) as Float32Array));
  for (const node of graph.nodes) e.value(node);

  // An output takes the name of the value that computes it: an Identity would copy it. Only what is no node's result
  // (an input, a constant), or leaves twice, is copied.
  const results = graph.outputs.map((node) => e.output(node));
  const { nodes, initializers } = e.finish(results.map((r) => r.name));
  const made = new Set(nodes.flatMap((node) => node.outputs));
  const names = new Map<string, string>();
  const copies: OnnxNode[] = [];
  results.forEach(({ name }, i) => {
    if (made.has(name) && !names.has(name)) names.set(name, `y${i}`);
    else
      copies.push({ name: `/output#${i}`, op: "Identity", domain: "", inputs: [name], outputs: [`y${i}`], attrs: {} });
  });
  const all = [...nodes, ...copies].map((node) => rename(node, names));
  const value = (name: string, dtype: DType, shape: Shape): OnnxValue => ({ name, dtype, dims: dims(shape) });
  const ending = device === "cpu";
  if (ending) {
    const seed = "done.seed";
    initializers.push({ name: seed, dtype: "float32", dims: [], data: Float32Array.of(0) });
    all.push({ name: "/done#0", op: "SequenceConstruct", domain: "", inputs: [seed], outputs: [finale], attrs: {} });
  }
  const model = encodeModel({
    nodes: all,
    initializers,
    inputs: graph.inputs.map((leaf, i) => value(`x${i}`, leaf.dtype, leaf.shape)),
    outputs: [
      ...(ending ? [{ name: finale, sequence: true as const }] : []),
      ...results.map(({ shape }, i) => value(`y${i}`, (graph.outputs[i] as Tensor).dtype, shape)),
    ],
  });
  const outputs = results.map(({ shape }, i) => ({
    name: `y${i}`,
    dtype: (graph.outputs[i] as Tensor).dtype,
    shape: (original.outputs[i] as Tensor).shape,
    held: shape,
  }));
  return { model, nodes: all.length, ending, inputOrder, outputs, ranges: indexRanges(graph, inputOrder) };
}
