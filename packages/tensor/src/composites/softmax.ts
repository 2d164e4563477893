// Softmax and its logarithm over the last axis, shifted by the row maximum so that no exponential overflows.
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { div, exp, log, mul, sub } from "../ops/elementwise.ts";
import { max } from "../ops/reduce.ts";
import { sum } from "../ops/shape.ts";
import { makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";

const infer = ([x]: readonly TensorType[]): TensorType => {
  const { shape, dtype } = x as TensorType;
  if (!isFloat(dtype)) throw new ShapeError(`does not take ${dtype}`, "cast to float32");
  if (shape.length === 0) throw new ShapeError("does not take a scalar");
  return { shape, dtype };
};

const samples = [{ inputs: [{ shape: [3, 5], low: -4, high: 4 }] }, { inputs: [{ shape: [2, 2, 1, 4] }] }];

const softmaxOp: OpDef = {
  name: "softmax",
  infer,
  // The inner sum stands alone, so that an engine can take it from elsewhere: in attention it equals sum(dy * y).
  vjp: ({ g, output }) => [mul(output, sub(g, sum(mul(g, output), [-1], true)))],
  decompose: ([x]) => {
    const value = x as Tensor;
    const e = exp(sub(value, max(value, [-1], true)));
    return div(e, sum(e, [-1], true));
  },
  samples,
};

/** exp(x) / sum(exp(x)) over the last axis. */
export function softmax(x: Tensor): Tensor {
  return makeNode(softmaxOp, [x], {});
}

const logSoftmaxOp: OpDef = {
  name: "logSoftmax",
  infer,
  vjp: ({ g, output }) => [sub(g, mul(exp(output), sum(g, [-1], true)))],
  decompose: ([x]) => {
    const value = x as Tensor;
    const shifted = sub(value, max(value, [-1], true));
    return sub(shifted, log(sum(exp(shifted), [-1], true)));
  },
  samples,
};

/** log(softmax(x)) over the last axis. */
export function logSoftmax(x: Tensor): Tensor {
  return makeNode(logSoftmaxOp, [x], {});
}

export const softmaxOps: readonly OpDef[] = [softmaxOp, logSoftmaxOp];
