// Reductions beyond sum: mean and max.
import { divDims, sizeOf } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { type Attrs, makeNode, type OpDef, type RefValue, type Tensor, type TensorType } from "../tensor.ts";
import { cast, div, equal, mul } from "./elementwise.ts";
import { broadcastTo, evaluateReduce, reduceAxes, reducedShape, reshape, sum } from "./shape.ts";

interface ReduceAttrs extends Attrs {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

const infer = ([x]: readonly TensorType[], attrs: ReduceAttrs): TensorType => {
  const { shape, dtype } = x as TensorType;
  if (!isFloat(dtype)) throw new ShapeError(`does not take ${dtype}`, "cast to float32");
  return { shape: reducedShape(shape, attrs), dtype };
};

const meanOp: OpDef<ReduceAttrs> = {
  name: "mean",
  infer,
  vjp: ({ g, inputs: [x], output, attrs: { axes } }) => {
    const { shape } = x as Tensor;
    const count = divDims(sizeOf(shape), sizeOf(output.shape));
    if (typeof count !== "number")
      throw new ShapeError("mean: the gradient of a mean over a symbolic extent is not defined", "give the extent");
    return [broadcastTo(reshape(mul(g, 1 / count), reducedShape(shape, { axes, keepDims: true })), shape)];
  },
  evaluate: ([x], { axes }) => {
    const value = x as RefValue;
    const total = evaluateReduce(value, axes, 0, (a, b) => a + b);
    return total.map((v) => (v * total.length) / value.data.length);
  },
  samples: [
    { inputs: [{ shape: [2, 3, 4] }], attrs: { axes: [2], keepDims: true } },
    { inputs: [{ shape: [2, 3] }], attrs: { axes: [0, 1], keepDims: false } },
  ],
};

/** Arithmetic mean over axes (all by default). */
export function mean(x: Tensor, axes?: readonly number[], keepDims = false): Tensor {
  const normal = reduceAxes(x.rank, axes);
  return normal.length === 0 ? x : makeNode(meanOp, [x], { axes: normal, keepDims });
}

const maxOp: OpDef<ReduceAttrs> = {
  name: "max",
  infer,
  // Ties share the gradient equally.
  vjp: ({ g, inputs: [x], output, attrs: { axes } }) => {
    const at = x as Tensor;
    const kept = reducedShape(at.shape, { axes, keepDims: true });
    const hit = cast(equal(at, reshape(output, kept)), at.dtype);
    return [mul(div(hit, sum(hit, axes, true)), reshape(g, kept))];
  },
  evaluate: ([x], { axes }) => evaluateReduce(x as RefValue, axes, Number.NEGATIVE_INFINITY, Math.max),
  samples: [
    { inputs: [{ shape: [3, 5] }], attrs: { axes: [1], keepDims: true } },
    { inputs: [{ shape: [2, 3, 2] }], attrs: { axes: [0, 1], keepDims: false } },
  ],
};

/** Largest element over axes (all by default). */
export function max(x: Tensor, axes?: readonly number[], keepDims = false): Tensor {
  const normal = reduceAxes(x.rank, axes);
  return normal.length === 0 ? x : makeNode(maxOp, [x], { axes: normal, keepDims });
}

export const reduceOps: readonly OpDef[] = [meanOp, maxOp] as unknown as readonly OpDef[];
