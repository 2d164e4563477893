// The step of a loop: what it is, the types that its members have, and a run of it in float64. See scan.ts.
import { addDims, type Dim, dimEquals, mulDims, type Shape, SymDim, shapeEquals, shapeText } from "../dim.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph.ts";
import { interpret } from "../interpret.ts";
import type { RefValue, Tensor, TensorType } from "../tensor.ts";

/** The step of a loop as a graph. */
export interface LoopBody {
  readonly carry: readonly Tensor[];
  readonly xs: readonly Tensor[];
  readonly shared: readonly Tensor[];
  /** Next carries, then outs, then the carries as they came in: the members of the family in order. */
  readonly outputs: readonly Tensor[];
  /** Outputs from this one on are rows of stacked values. */
  readonly stackedFrom: number;
  readonly reverse: boolean;
}

const bodies = new WeakMap<object, LoopBody>();

/** Makes `body` the step that the nodes of an op run. */
export function registerBody(op: object, body: LoopBody): void {
  bodies.set(op, body);
}

/** The step of a `scan` node; undefined for any other. */
export function loopBody(t: Tensor): LoopBody | undefined {
  return bodies.get(t.op);
}

/** Nodes of the same loop among `nodes`: equal step, equal inputs. */
export function sameLoop(t: Tensor, nodes: readonly Tensor[]): Tensor[] {
  return nodes.filter(
    (other) =>
      other.op.name === t.op.name &&
      other.attrs["body"] === t.attrs["body"] &&
      other.inputs.every((x, i) => x === t.inputs[i]),
  );
}

/** What the step's free sizes are in a loop over `inputs`; errors say which input does not fit the step. */
export function stepSizes(body: LoopBody, inputs: readonly TensorType[]): ReadonlyMap<string, Dim> {
  const length = inputs[body.carry.length]?.shape[0] as Dim;
  const leaves = [...body.carry, ...body.xs, ...body.shared];
  const isRow = (leaf: Tensor) => body.xs.includes(leaf);
  const own = leaves.map((leaf, i) => {
    const { shape } = inputs[i] as TensorType;
    return isRow(leaf) ? shape.slice(1) : shape;
  });
  const sizes = new Map<string, Dim>();
  // Names that stand alone first: sums and products can be checked only once every name is known.
  leaves.forEach((leaf, i) => {
    leaf.shape.forEach((d, axis) => {
      const given = own[i]?.[axis];
      if (d instanceof SymDim && d.symbol !== undefined && given !== undefined && !sizes.has(d.symbol))
        sizes.set(d.symbol, given);
    });
  });
  leaves.forEach((leaf, i) => {
    const { shape, dtype } = inputs[i] as TensorType;
    const expected = leaf.shape.map((d) => filled(d, sizes));
    if (!shapeEquals(expected, own[i] as Shape) || dtype !== leaf.dtype)
      throw new ShapeError(
        `the step reads ${leaf}, given ${shapeText(shape)}:${dtype}${isRow(leaf) ? " in rows" : ""}`,
      );
    if (isRow(leaf) && !dimEquals(shape[0] as Dim, length))
      throw new ShapeError(`values of ${shape[0]} and of ${length} rows`, "give all the same number of rows");
  });
  return sizes;
}

/** Type of a member; the step's free sizes stand for what the inputs have in their places. */
export function inferMember(body: LoopBody, inputs: readonly TensorType[], output: number): TensorType {
  const sizes = stepSizes(body, inputs);
  const { shape, dtype } = body.outputs[output] as Tensor;
  const own = shape.map((d) => filled(d, sizes));
  return { shape: output < body.stackedFrom ? own : [inputs[body.carry.length]?.shape[0] as Dim, ...own], dtype };
}

/** A dimension of the step with its free sizes replaced. */
export function filled(d: Dim, sizes: ReadonlyMap<string, Dim>): Dim {
  if (!(d instanceof SymDim) || sizes.size === 0) return d;
  let total: Dim = 0;
  for (const [product, factor] of d.terms) {
    let term: Dim = factor;
    for (const name of product.split("*").filter(Boolean))
      term = mulDims(term, sizes.get(name) ?? new SymDim(new Map([[name, 1]])));
    total = addDims(total, term);
  }
  return total;
}

/** Members are asked for one by one, from the same values: the last run is remembered with what it read. */
const runs = new WeakMap<RefValue, { graph: Graph; inputs: readonly RefValue[]; values: Float64Array[] }>();

/** Values of all members in float64; `graph` is the step of primitives. */
export function evaluateLoop(graph: Graph, body: LoopBody, inputs: readonly RefValue[]): Float64Array[] {
  const latest = runs.get(inputs[0] as RefValue);
  if (latest?.graph === graph && latest.inputs.every((x, i) => x === inputs[i])) return latest.values;
  const [nc, nx] = [body.carry.length, body.xs.length];
  const placeholders = [...body.carry, ...body.xs, ...body.shared];
  const order = graph.inputs.map((leaf) => placeholders.indexOf(leaf));
  const rows = inputs.slice(nc, nc + nx);
  const length = rows[0]?.shape[0] as number;
  const state = inputs.slice(0, nc);
  const stacks: Float64Array[][] = graph.outputs.slice(nc).map(() => []);
  for (let step = 0; step < length; step++) {
    const t = body.reverse ? length - 1 - step : step;
    const now = [...state, ...rows.map((x) => rowOf(x, t)), ...inputs.slice(nc + nx)];
    const values = interpret(
      graph,
      order.map((i) => now[i] as RefValue),
    );
    graph.outputs.forEach((node, i) => {
      const value = values.get(node) as RefValue;
      if (i < nc) state[i] = value;
      else (stacks[i - nc] as Float64Array[])[t] = value.data;
    });
  }
  const values = [...state.map((value) => value.data), ...stacks.map(joined)];
  runs.set(inputs[0] as RefValue, { graph, inputs, values });
  return values;
}

function rowOf({ shape, dtype, data }: RefValue, t: number): RefValue {
  const width = shape.slice(1).reduce((a, b) => a * b, 1);
  return { shape: shape.slice(1), dtype, data: data.subarray(t * width, (t + 1) * width) };
}

function joined(rows: readonly Float64Array[]): Float64Array {
  const width = rows[0]?.length ?? 0;
  const out = new Float64Array(rows.length * width);
  rows.forEach((row, t) => {
    out.set(row, t * width);
  });
  return out;
}
