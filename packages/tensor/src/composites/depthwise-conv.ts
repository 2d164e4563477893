// Convolution over time, each feature by itself (a cross-correlation, as everywhere in machine learning), padded by the
// caller: a sum of shifted copies, one per tap, so that a short one costs no more than its taps.
import { addDims, type Dim, dimEquals, mulDims, shapeText, sizeOf, subDims } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { add, mul } from "../ops/elementwise.ts";
import { concat, pad, reshape, slice, sum } from "../ops/shape.ts";
import { makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";

/** Rows of x that tap `i` reads, as long as the output. */
const shifted = (x: Tensor, i: number, length: Dim): Tensor => slice(x, 1, i, addDims(i, length));

export const depthwiseConvOp: OpDef = {
  name: "depthwiseConv",
  infer: (inputs) => {
    const [x, w] = inputs as [TensorType, TensorType];
    const [b, length, width] = x.shape as [Dim, Dim, Dim];
    const [taps] = w.shape;
    if (x.shape.length !== 3 || w.shape.length !== 2 || !dimEquals(width, w.shape[1] as Dim))
      throw new ShapeError(`x ${shapeText(x.shape)} and taps ${shapeText(w.shape)} are not [B, S, D] and [K, D]`);
    if (typeof taps !== "number" || taps < 1) throw new ShapeError("the number of taps must be known");
    // One position less than taps is a sequence without elements, padded in front.
    if (typeof length === "number" && length < taps - 1)
      throw new ShapeError(`${taps} taps need as many positions, found ${length}`, "pad x in front");
    if (!isFloat(x.dtype) || x.dtype !== w.dtype)
      throw new ShapeError(`operands have dtypes ${x.dtype} and ${w.dtype}`, "cast both to float32");
    return { shape: [b, subDims(length, taps - 1), width], dtype: x.dtype };
  },
  vjp: ({ g, inputs, output }) => {
    const [x, w] = inputs as [Tensor, Tensor];
    const taps = w.shape[0] as number;
    const length = output.shape[1] as Dim;
    const each = Array.from({ length: taps }, (_, i) => i);
    return [
      () => {
        const backwards = concat(
          each.map((i) => slice(w, 0, taps - 1 - i, taps - i)),
          0,
        );
        return depthwiseConv(pad(g, 1, taps - 1, taps - 1), backwards);
      },
      () =>
        concat(
          each.map((i) => reshape(sum(mul(g, shifted(x, i, length)), [0, 1]), [1, w.shape[1] as Dim])),
          0,
        ),
    ];
  },
  decompose: ([x, w]) => {
    const [rows, taps] = [x as Tensor, w as Tensor];
    const count = taps.shape[0] as number;
    const length = subDims(rows.shape[1] as Dim, count - 1);
    return Array.from({ length: count }, (_, i) =>
      mul(shifted(rows, i, length), reshape(slice(taps, 0, i, i + 1), [taps.shape[1] as Dim])),
    ).reduce((a, b) => add(a, b));
  },
  flops: (inputs, _attrs, output) => mulDims(2, mulDims(sizeOf(output.shape), inputs[1]?.shape[0] as Dim)),
  samples: [
    { inputs: [{ shape: [2, 6, 3] }, { shape: [4, 3] }] },
    { inputs: [{ shape: [1, 3, 2] }, { shape: [1, 2] }] },
    { inputs: [{ shape: [2, 3, 2] }, { shape: [3, 2] }], about: "one position" },
    { inputs: [{ shape: [2, 2, 2] }, { shape: [3, 2] }], about: "no position" },
  ],
};

/** Convolution over time, each feature by itself: x [B, S, D], taps w [K, D] -> [B, S-K+1, D], y_t = sum_i w_i x_(t+i). */
export function depthwiseConv(x: Tensor, w: Tensor): Tensor {
  return makeNode(depthwiseConvOp, [x, w], {});
}
