// Convolution of images (a cross-correlation, as everywhere in machine learning): the inputs of every output side by side
// (im2col; Chellapilla et al., "High performance convolutional neural networks for document processing", 2006) and one
// product per group, so that gradients are products too. Engines with a convolution of their own claim it.
import { type Dim, mulDims, type Shape, shapeText, sizeOf, staticShape } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { matmul } from "../ops/matmul.ts";
import { concat, pad, reshape, slice } from "../ops/shape.ts";
import { type Attrs, makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";

/** How `conv2d` moves over its input: [rows, columns]. */
export interface Conv2dOptions {
  /** Step between outputs; default [1, 1]. */
  readonly stride?: readonly [number, number];
  /** Zeros on both sides; default [0, 0]. */
  readonly padding?: readonly [number, number];
  /** Step between the inputs of one output; default [1, 1]. */
  readonly dilation?: readonly [number, number];
  /** Parts that the channels are divided into; default 1. */
  readonly groups?: number;
}

interface Conv2dAttrs extends Attrs {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

/** Demands steps and groups of at least 1 and padding of at least 0, in integers. */
function checkConv2d({ stride, padding, dilation, groups }: Conv2dAttrs): void {
  const fits = (values: readonly number[], least: number) => values.every((n) => Number.isInteger(n) && n >= least);
  for (const [name, values, least] of [
    ["stride", stride, 1],
    ["padding", padding, 0],
    ["dilation", dilation, 1],
    ["groups", [groups], 1],
  ] as const)
    if (!fits(values, least)) throw new ShapeError(`${name} ${values}`, `give integers of at least ${least}`);
}

/** Known extents of x [B, C, H, W] (B may be open) and w [O, C/groups, kh, kw], and those of the output. */
function conv2dExtents(x: Shape, w: Shape, attrs: Conv2dAttrs) {
  const image = staticShape(x.slice(1));
  const kernel = staticShape(w);
  if (!image || !kernel || image.length !== 3 || kernel.length !== 4)
    throw new ShapeError(
      `x ${shapeText(x)} and w ${shapeText(w)} are not [B, C, H, W] and [O, C/groups, kh, kw], known`,
    );
  const [channels, ...size] = image as [number, number, number];
  const [out, inner, ...taps] = kernel as [number, number, number, number];
  if (taps.some((n) => n < 1)) throw new ShapeError(`the kernel of w ${shapeText(w)} has no taps`);
  if (channels !== inner * attrs.groups || out % attrs.groups !== 0)
    throw new ShapeError(
      `w ${shapeText(w)} in ${attrs.groups} groups does not fit the channels of x ${shapeText(x)}`,
      "w is [O, C/groups, kh, kw], and groups divides O",
    );
  const to = ([0, 1] as const).map((axis) => {
    const padded = (size[axis] as number) + 2 * attrs.padding[axis];
    const span = attrs.dilation[axis] * ((taps[axis] as number) - 1) + 1;
    if (padded < span)
      throw new ShapeError(`a kernel over ${span} positions needs as many, found ${padded} with padding`);
    return Math.floor((padded - span) / attrs.stride[axis]) + 1;
  }) as [number, number];
  return { channels, out, inner, taps: taps as [number, number], to };
}

/** Every stride-th position of an axis from `start` on, `count` of them. */
function strided(x: Tensor, axis: number, start: number, count: number, stride: number): Tensor {
  const last = start + (count - 1) * stride + 1;
  const cut = slice(x, axis, start, last);
  if (stride === 1) return cut;
  const whole = pad(cut, axis, 0, stride - 1);
  const before = whole.shape.slice(0, axis);
  const after = whole.shape.slice(axis + 1);
  return reshape(slice(reshape(whole, [...before, count, stride, ...after]), axis + 1, 0, 1), [
    ...before,
    count,
    ...after,
  ]);
}

export const conv2dOp: OpDef<Conv2dAttrs> = {
  name: "conv2d",
  infer: (inputs, attrs) => {
    const [x, w] = inputs as [TensorType, TensorType];
    if (!isFloat(x.dtype) || x.dtype !== w.dtype)
      throw new ShapeError(`operands have dtypes ${x.dtype} and ${w.dtype}`, "cast both to float32");
    checkConv2d(attrs);
    const { out, to } = conv2dExtents(x.shape, w.shape, attrs);
    return { shape: [x.shape[0] as Dim, out, ...to], dtype: x.dtype };
  },
  decompose: (inputs, attrs) => {
    const [x, w] = inputs as [Tensor, Tensor];
    const { stride, padding, dilation, groups } = attrs;
    const { channels, out, inner, taps, to } = conv2dExtents(x.shape, w.shape, attrs);
    const b = x.shape[0] as Dim;
    const padded = pad(pad(x, 2, padding[0], padding[0]), 3, padding[1], padding[1]);
    const windows: Tensor[] = [];
    for (let i = 0; i < taps[0]; i++) {
      const rows = strided(padded, 2, i * dilation[0], to[0], stride[0]);
      for (let j = 0; j < taps[1]; j++)
        windows.push(reshape(strided(rows, 3, j * dilation[1], to[1], stride[1]), [b, channels, 1, to[0] * to[1]]));
    }
    const count = inner * taps[0] * taps[1];
    const columns = reshape(concat(windows, 2), [b, groups, count, to[0] * to[1]]);
    return reshape(matmul(reshape(w, [1, groups, out / groups, count]), columns), [b, out, ...to]);
  },
  flops: (inputs, attrs, output) => {
    const [x, w] = inputs as [TensorType, TensorType];
    const { inner, taps } = conv2dExtents(x.shape, w.shape, attrs);
    return mulDims(2 * inner * taps[0] * taps[1], sizeOf(output.shape));
  },
  samples: [
    {
      inputs: [{ shape: [2, 3, 4, 5] }, { shape: [4, 3, 2, 3] }],
      attrs: { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 },
    },
    {
      inputs: [{ shape: [1, 4, 5, 6] }, { shape: [6, 2, 3, 2] }],
      attrs: { stride: [2, 3], padding: [1, 2], dilation: [1, 1], groups: 2 },
      about: "strided groups",
    },
    {
      inputs: [{ shape: [2, 3, 5, 5] }, { shape: [3, 1, 2, 2] }],
      attrs: { stride: [1, 2], padding: [1, 0], dilation: [3, 2], groups: 3 },
      about: "dilated, depthwise",
    },
    {
      inputs: [{ shape: [0, 2, 3, 3] }, { shape: [1, 2, 2, 2] }],
      attrs: { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 },
      about: "no images",
    },
  ],
};

/** Convolution of images: x [B, C, H, W], w [O, C/groups, kh, kw] -> [B, O, H', W']; all but B known. */
export function conv2d(x: Tensor, w: Tensor, options: Conv2dOptions = {}): Tensor {
  const { stride = [1, 1], padding = [0, 0], dilation = [1, 1], groups = 1 } = options;
  return makeNode(conv2dOp, [x, w], { stride, padding, dilation, groups });
}
