// Loops as ONNX Scan: the step is a graph of its own inside the node. It reads shared values by their names outside, rows
// are views of the stacked values, and rows of results are written in place. Only members of the loop that the graph
// holds are made.
// Source: https://github.com/onnx/onnx/blob/main/docs/Operators.md#Scan
import {
  allocHost,
  type Bindings,
  constantValue,
  Graph,
  type LoopBody,
  loopBody,
  prepareGraph,
  type Shape,
  SymDim,
  sameLoop,
  type Tensor,
} from "@caramba/tensor";
import type { OnnxNode, OnnxValue } from "../onnx-model.ts";
import { specialise } from "../specialise.ts";
import type { Emit, Emitter } from "./emitter.ts";

/** Members of the loop in this graph, by their number. */
function membersOf(e: Emitter, t: Tensor): Map<number, Tensor> {
  const found = sameLoop(t, e.users(t.inputs[0] ?? t));
  return new Map([t, ...found].map((node) => [node.attrs["output"] as number, node]));
}

/** Free sizes of the step that the loop's inputs have filled in. */
function knownSizes(body: LoopBody, t: Tensor): Bindings {
  const sizes = new Map<string, number>();
  [...body.carry, ...body.xs, ...body.shared].forEach((leaf, i) => {
    const shape = (t.inputs[i] as Tensor).shape;
    const own = body.xs.includes(leaf) ? shape.slice(1) : shape;
    leaf.shape.forEach((d, axis) => {
      const given = own[axis];
      if (d instanceof SymDim && d.symbol !== undefined && typeof given === "number") sizes.set(d.symbol, given);
    });
  });
  return sizes;
}

/** The step with free sizes filled in; placeholders by position. */
export function stepOf(t: Tensor): { placeholders: readonly Tensor[]; outputs: readonly Tensor[] } {
  const body = loopBody(t) as LoopBody;
  const placeholders = [...body.carry, ...body.xs, ...body.shared];
  const sizes = knownSizes(body, t);
  if (sizes.size === 0) return { placeholders, outputs: body.outputs };
  // Placeholders go along as outputs, to be found again under their new shapes.
  const made = specialise(new Graph([...body.outputs, ...placeholders]), sizes).outputs;
  return { placeholders: made.slice(body.outputs.length), outputs: made.slice(0, body.outputs.length) };
}

const typed = (name: string, t: Tensor): OnnxValue => ({ name, dtype: t.dtype, dims: dimsOf(t.shape) });
const dimsOf = (shape: Shape): OnnxValue["dims"] => shape.map((d) => (typeof d === "number" ? d : undefined));

/** What is left of a loop over no rows, which ORT's Scan refuses: carries as they came in, stacks without rows. */
function overNoRows(e: Emitter, t: Tensor, carries: number): string {
  const output = t.attrs["output"] as number;
  if (output < carries) return e.value(t.inputs[output] as Tensor);
  return e.node("Expand", [e.constant(t.dtype, [], allocHost(t.dtype, 1)), e.shape(t.shape)]);
}

export const scan: Emit = (e, t) => {
  const body = loopBody(t) as LoopBody;
  const [nc, nx] = [body.carry.length, body.xs.length];
  if (t.inputs[nc]?.shape[0] === 0) return overNoRows(e, t, nc);
  const { placeholders, outputs } = stepOf(t);
  const members = membersOf(e, t);
  const stacked = [...members.keys()].filter((k) => k >= nc).sort((a, b) => a - b);
  const asked = [...outputs.slice(0, nc), ...stacked.map((k) => outputs[k] as Tensor)];
  const { graph } = prepareGraph(new Graph(asked), e.claimed);

  const prefix = e.unique();
  const outside = t.inputs.slice(nc + nx).map((x) => e.value(x));
  const given = placeholders.slice(0, nc + nx).map((leaf, i) => typed(`${prefix}in${i}`, leaf));
  const names = new Map(
    placeholders.map((leaf, i) => [
      leaf,
      i < nc + nx ? (given[i] as OnnxValue).name : (outside[i - nc - nx] as string),
    ]),
  );
  const inner = e.inner(graph.nodes, names);
  for (const node of graph.nodes) {
    const value = constantValue(node);
    if (value) inner.define(node, inner.constant(node.dtype, node.shape as number[], value));
  }
  for (const node of graph.nodes) inner.value(node);
  const results = graph.outputs.map((node) => inner.value(node));
  const { nodes, initializers } = inner.finish(results);
  const own = new Set(nodes.flatMap((node) => node.outputs));
  const made = results.map((name, i) => {
    // What is handed on as it came, or twice, needs a name of its own.
    if (own.delete(name)) return name;
    const copy: OnnxNode = {
      name: `/scan#${prefix}${i}`,
      op: "Identity",
      domain: "",
      inputs: [name],
      outputs: [`${prefix}out${i}`],
      attrs: {},
    };
    nodes.push(copy);
    return copy.outputs[0] as string;
  });
  const direction = body.reverse ? 1 : 0;
  const values = e.split("Scan", [...t.inputs.slice(0, nc + nx).map((x) => e.value(x))], made.length, {
    num_scan_inputs: nx,
    scan_input_directions: body.xs.map(() => direction),
    ...(stacked.length > 0 ? { scan_output_directions: stacked.map(() => direction) } : {}),
    body: {
      body: { nodes, initializers, inputs: given, outputs: made.map((name, i) => typed(name, asked[i] as Tensor)) },
    },
  });
  for (const [k, node] of members) e.define(node, values[k < nc ? k : nc + stacked.indexOf(k)] as string);
  const mine = t.attrs["output"] as number;
  return values[mine < nc ? mine : nc + stacked.indexOf(mine)] as string;
};
