// Primitives that move values without changing them: reshape, transpose, broadcastTo, concat, slice, pad; with sum,
// which is the transpose of broadcastTo and so lives in the same family.
import {
  addDims,
  type Dim,
  dimEquals,
  divDims,
  mulDims,
  type Shape,
  shapeEquals,
  shapeText,
  sizeOf,
  subDims,
} from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { type Attrs, makeNode, type OpDef, type RefValue, type Tensor, type TensorType } from "../tensor.ts";
import { broadcastIndex, broadcastShapes } from "./broadcast.ts";

const only = (inputs: readonly TensorType[]): TensorType => inputs[0] as TensorType;
const ref = (inputs: readonly RefValue[]): RefValue => inputs[0] as RefValue;

/** Axis counted from the front; negative counts from the end. */
export function normalAxis(axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(at) || at < 0 || at >= rank) throw new ShapeError(`axis ${axis} of a value of rank ${rank}`);
  return at;
}

interface ShapeAttrs extends Attrs {
  readonly shape: Shape;
}

const reshapeOp: OpDef<ShapeAttrs> = {
  name: "reshape",
  infer: (inputs, { shape }) => {
    const from = only(inputs);
    if (!dimEquals(sizeOf(from.shape), sizeOf(shape)))
      throw new ShapeError(`${shapeText(from.shape)} cannot become ${shapeText(shape)}: the sizes differ`);
    return { shape, dtype: from.dtype };
  },
  vjp: ({ g, inputs: [x] }) => [reshape(g, (x as Tensor).shape)],
  evaluate: (inputs) => ref(inputs).data,
  samples: [
    { inputs: [{ shape: [2, 6] }], attrs: { shape: [3, 4] } },
    { inputs: [{ shape: [] }], attrs: { shape: [1, 1] } },
  ],
};

/** Same values in row-major order under another shape; one extent may be -1 where the others are not 0. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const hole = shape.indexOf(-1);
  let to = shape;
  if (hole >= 0) {
    const rest = shape.reduce<Dim>((product, d, i) => (i === hole ? product : mulDims(product, d)), 1);
    const missing = rest === 0 ? undefined : divDims(sizeOf(x.shape), rest);
    if (missing === undefined)
      throw new ShapeError(`reshape: ${shapeText(x.shape)} does not divide into ${shapeText(shape)}`);
    to = shape.map((d, i) => (i === hole ? missing : d));
  }
  if (shapeEquals(x.shape, to)) return x;
  const source = x.op === (reshapeOp as unknown as OpDef) ? (x.inputs[0] as Tensor) : x;
  return shapeEquals(source.shape, to) ? source : makeNode(reshapeOp, [source], { shape: to });
}

interface PermAttrs extends Attrs {
  readonly perm: readonly number[];
}

const transposeOp: OpDef<PermAttrs> = {
  name: "transpose",
  infer: (inputs, { perm }) => {
    const { shape, dtype } = only(inputs);
    if (perm.length !== shape.length || new Set(perm).size !== perm.length || perm.some((p) => !(p in shape)))
      throw new ShapeError(`[${perm.join()}] is no permutation of the axes of ${shapeText(shape)}`);
    return { shape: perm.map((p) => shape[p] as Dim), dtype };
  },
  vjp: ({ g, attrs: { perm } }) => [transpose(g, inversePerm(perm))],
  evaluate: (inputs, { perm }, shape) => {
    const x = ref(inputs);
    const strides = x.shape.map((_, i) => x.shape.slice(i + 1).reduce((a, b) => a * b, 1));
    const index = new Array<number>(shape.length).fill(0);
    return Float64Array.from({ length: x.data.length }, () => {
      let at = 0;
      for (let axis = 0; axis < perm.length; axis++)
        at += (index[axis] as number) * (strides[perm[axis] as number] as number);
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        index[axis] = (index[axis] as number) + 1;
        if ((index[axis] as number) < (shape[axis] as number)) break;
        index[axis] = 0;
      }
      return x.data[at] as number;
    });
  },
  samples: [
    { inputs: [{ shape: [2, 3, 4] }], attrs: { perm: [2, 0, 1] } },
    { inputs: [{ shape: [2, 3, 4, 2] }], attrs: { perm: [0, 2, 1, 3] } },
  ],
};

/** Axis i of the result is axis perm[i] of x. */
export function transpose(x: Tensor, perm: readonly number[]): Tensor {
  if (perm.length === x.rank && perm.every((p, i) => p === i)) return x;
  if (x.op === (transposeOp as unknown as OpDef)) {
    const inner = x.attrs["perm"] as readonly number[];
    return transpose(
      x.inputs[0] as Tensor,
      perm.map((p) => inner[p] as number),
    );
  }
  return makeNode(transposeOp, [x], { perm: [...perm] });
}

/** The permutation that undoes `perm`. */
export function inversePerm(perm: readonly number[]): number[] {
  const out = new Array<number>(perm.length);
  perm.forEach((p, i) => {
    out[p] = i;
  });
  return out;
}

const broadcastToOp: OpDef<ShapeAttrs> = {
  name: "broadcastTo",
  infer: (inputs, { shape }) => {
    const from = only(inputs);
    if (!shapeEquals(broadcastShapes(from.shape, shape), shape))
      throw new ShapeError(`${shapeText(from.shape)} does not broadcast to ${shapeText(shape)}`);
    return { shape, dtype: from.dtype };
  },
  vjp: ({ g, inputs: [x] }) => [sumTo(g, (x as Tensor).shape)],
  evaluate: (inputs, _attrs, shape) => {
    const x = ref(inputs);
    return Float64Array.from(broadcastIndex(x.shape, shape), (at) => x.data[at] as number);
  },
  samples: [
    { inputs: [{ shape: [3, 1] }], attrs: { shape: [2, 3, 4] } },
    { inputs: [{ shape: [] }], attrs: { shape: [5] } },
  ],
};

/** Repeats extents of 1 (and missing leading ones) up to `shape`. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return shapeEquals(x.shape, shape) ? x : makeNode(broadcastToOp, [x], { shape });
}

interface ReduceAttrs extends Attrs {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

/** Output shape of a reduction. */
export function reducedShape(shape: Shape, { axes, keepDims }: ReduceAttrs): Shape {
  return keepDims ? shape.map((d, i) => (axes.includes(i) ? 1 : d)) : shape.filter((_, i) => !axes.includes(i));
}

/** Sorted, non-negative axes; all of them when none are given. */
export function reduceAxes(rank: number, axes?: readonly number[]): number[] {
  const all = axes ? axes.map((axis) => normalAxis(axis, rank)) : Array.from({ length: rank }, (_, i) => i);
  return [...new Set(all)].sort((a, b) => a - b);
}

/** Folds the elements of each group of a reduction. */
export function evaluateReduce(
  x: RefValue,
  axes: readonly number[],
  start: number,
  f: (a: number, b: number) => number,
): Float64Array {
  const kept = x.shape.map((n, i) => (axes.includes(i) ? 1 : n));
  const out = new Float64Array(kept.reduce((a, b) => a * b, 1)).fill(start);
  const target = broadcastIndex(kept, x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const at = target[i] as number;
    out[at] = f(out[at] as number, x.data[i] as number);
  }
  return out;
}

const sumOp: OpDef<ReduceAttrs> = {
  name: "sum",
  infer: (inputs, attrs) => {
    const { shape, dtype } = only(inputs);
    if (!isFloat(dtype) && dtype !== "int32")
      throw new ShapeError(`does not take ${dtype}`, "cast to float32 or int32");
    return { shape: reducedShape(shape, attrs), dtype };
  },
  vjp: ({ g, inputs: [x], attrs: { axes } }) => {
    const { shape } = x as Tensor;
    return [broadcastTo(reshape(g, reducedShape(shape, { axes, keepDims: true })), shape)];
  },
  evaluate: (inputs, { axes }) => evaluateReduce(ref(inputs), axes, 0, (a, b) => a + b),
  samples: [
    { inputs: [{ shape: [2, 3, 4] }], attrs: { axes: [1], keepDims: false } },
    { inputs: [{ shape: [2, 3, 4] }], attrs: { axes: [0, 2], keepDims: true } },
    { inputs: [{ shape: [6] }], attrs: { axes: [0], keepDims: false } },
    { inputs: [{ shape: [0, 3] }], attrs: { axes: [0], keepDims: false }, about: "sums of nothing" },
  ],
};

/** Sum over axes (all by default). */
export function sum(x: Tensor, axes?: readonly number[], keepDims = false): Tensor {
  const normal = reduceAxes(x.rank, axes);
  return normal.length === 0 ? x : makeNode(sumOp, [x], { axes: normal, keepDims });
}

/** Sums a broadcast result back to `shape`: the transpose of broadcastTo. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (shapeEquals(x.shape, shape)) return x;
  const extra = x.rank - shape.length;
  const axes: number[] = [];
  x.shape.forEach((d, i) => {
    if (i < extra || (shape[i - extra] === 1 && d !== 1)) axes.push(i);
  });
  return reshape(sum(x, axes, true), shape);
}

interface AxisAttrs extends Attrs {
  readonly axis: number;
}

const concatOp: OpDef<AxisAttrs> = {
  name: "concat",
  infer: (inputs, { axis }) => {
    const first = only(inputs);
    let total: Dim = 0;
    for (const { shape, dtype } of inputs) {
      if (dtype !== first.dtype)
        throw new ShapeError(`parts have dtypes ${first.dtype} and ${dtype}`, "cast one of them");
      if (
        shape.length !== first.shape.length ||
        shape.some((d, i) => i !== axis && !dimEquals(d, first.shape[i] as Dim))
      )
        throw new ShapeError(`parts ${shapeText(first.shape)} and ${shapeText(shape)} differ outside axis ${axis}`);
      total = addDims(total, shape[axis] as Dim);
    }
    return { shape: first.shape.map((d, i) => (i === axis ? total : d)), dtype: first.dtype };
  },
  vjp: ({ g, inputs, attrs: { axis } }) => {
    let at: Dim = 0;
    return inputs.map((part) => {
      const start = at;
      at = addDims(at, part.shape[axis] as Dim);
      const end = at;
      return () => slice(g, axis, start, end);
    });
  },
  evaluate: (inputs, { axis }, shape) => {
    const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
    const out = new Float64Array(shape.reduce((a, b) => a * b, 1));
    const row = out.length / Math.max(1, outer);
    let at = 0;
    for (const x of inputs) {
      const width = x.data.length / Math.max(1, outer);
      for (let o = 0; o < outer; o++) out.set(x.data.subarray(o * width, (o + 1) * width), o * row + at);
      at += width;
    }
    return out;
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 1] }, { shape: [2, 2] }], attrs: { axis: 1 } },
    { inputs: [{ shape: [1, 3, 2] }, { shape: [4, 3, 2] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [2, 0] }, { shape: [2, 3] }, { shape: [2, 0] }], attrs: { axis: 1 }, about: "empty parts" },
  ],
};

/** Joins parts along an axis. */
export function concat(parts: readonly Tensor[], axis: number): Tensor {
  const [first] = parts;
  if (!first) throw new ShapeError("concat: no parts", "give at least one");
  return parts.length === 1 ? first : makeNode(concatOp, parts, { axis: normalAxis(axis, first.rank) });
}

interface SliceAttrs extends AxisAttrs {
  readonly start: Dim;
  readonly end: Dim;
}

const inOrder = (a: Dim, b: Dim): boolean => typeof a !== "number" || typeof b !== "number" || a <= b;

const sliceOp: OpDef<SliceAttrs> = {
  name: "slice",
  infer: (inputs, { axis, start, end }) => {
    const { shape, dtype } = only(inputs);
    if (!inOrder(0, start) || !inOrder(start, end) || !inOrder(end, shape[axis] as Dim))
      throw new ShapeError(`[${start}, ${end}) is not inside axis ${axis} of ${shapeText(shape)}`);
    return { shape: shape.map((d, i) => (i === axis ? subDims(end, start) : d)), dtype };
  },
  vjp: ({ g, inputs: [x], attrs: { axis, start, end } }) => [
    pad(g, axis, start, subDims((x as Tensor).shape[axis] as Dim, end)),
  ],
  evaluate: (inputs, { axis, start }, shape) => {
    const x = ref(inputs);
    const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
    const width = (shape[axis] as number) * inner;
    const out = new Float64Array(outer * width);
    for (let o = 0; o < outer; o++) {
      const from = (o * (x.shape[axis] as number) + (start as number)) * inner;
      out.set(x.data.subarray(from, from + width), o * width);
    }
    return out;
  },
  samples: [
    { inputs: [{ shape: [4, 5] }], attrs: { axis: 1, start: 1, end: 4 } },
    { inputs: [{ shape: [4, 2, 3] }], attrs: { axis: 0, start: 2, end: 4 } },
    { inputs: [{ shape: [4, 2] }], attrs: { axis: 0, start: 4, end: 4 }, about: "nothing" },
  ],
};

/** Elements start (included) to end (excluded) of an axis. */
export function slice(x: Tensor, axis: number, start: Dim, end: Dim): Tensor {
  const at = normalAxis(axis, x.rank);
  if (start === 0 && dimEquals(end, x.shape[at] as Dim)) return x;
  return makeNode(sliceOp, [x], { axis: at, start, end });
}

interface PadAttrs extends AxisAttrs {
  readonly before: Dim;
  readonly after: Dim;
}

const padOp: OpDef<PadAttrs> = {
  name: "pad",
  infer: (inputs, { axis, before, after }) => {
    const { shape, dtype } = only(inputs);
    if (!inOrder(0, before) || !inOrder(0, after)) throw new ShapeError(`amounts ${before} and ${after} are negative`);
    return { shape: shape.map((d, i) => (i === axis ? addDims(addDims(before, d), after) : d)), dtype };
  },
  vjp: ({ g, inputs: [x], attrs: { axis, before } }) => [
    slice(g, axis, before, addDims(before, (x as Tensor).shape[axis] as Dim)),
  ],
  evaluate: (inputs, { axis, before }, shape) => {
    const x = ref(inputs);
    const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
    const out = new Float64Array(shape.reduce((a, b) => a * b, 1));
    const width = (x.shape[axis] as number) * inner;
    for (let o = 0; o < outer; o++)
      out.set(x.data.subarray(o * width, (o + 1) * width), (o * (shape[axis] as number) + (before as number)) * inner);
    return out;
  },
  samples: [
    { inputs: [{ shape: [2, 3] }], attrs: { axis: 1, before: 2, after: 1 } },
    { inputs: [{ shape: [2, 3, 2] }], attrs: { axis: 0, before: 0, after: 2 } },
    { inputs: [{ shape: [2, 0] }], attrs: { axis: 1, before: 2, after: 1 }, about: "around nothing" },
  ],
};

/** Zeros before and after along an axis. */
export function pad(x: Tensor, axis: number, before: Dim, after: Dim): Tensor {
  if (before === 0 && after === 0) return x;
  return makeNode(padOp, [x], { axis: normalAxis(axis, x.rank), before, after });
}

export const shapeOps: readonly OpDef[] = [
  reshapeOp,
  transposeOp,
  broadcastToOp,
  sumOp,
  concatOp,
  sliceOp,
  padOp,
] as unknown as readonly OpDef[];
