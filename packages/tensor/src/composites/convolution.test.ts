// Convolutions against the sums that define them, written as loops, and what is refused.
import { expect, test } from "vitest";
import { sym } from "../dim.ts";
import { largestError, runOn } from "../matrix.ts";
import { Philox } from "../random.ts";
import { ReferenceBackend } from "../reference.ts";
import { input, type Tensor } from "../tensor.ts";
import { type Conv2dOptions, conv2d } from "./conv2d.ts";
import { depthwiseConv } from "./depthwise-conv.ts";

const random = new Philox(11);
const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const draw = (shape: readonly number[]) => Float32Array.from({ length: sizeOf(shape) }, () => random.normal());

/** Reads a row-major array at an index; 0 outside. */
const at = (data: Float32Array, shape: readonly number[], index: readonly number[]): number => {
  if (index.some((i, axis) => i < 0 || i >= (shape[axis] as number))) return 0;
  return data[index.reduce((place, i, axis) => place * (shape[axis] as number) + i, 0)] as number;
};

/** Every index of a shape, row-major. */
function* indices(shape: readonly number[]): Generator<number[]> {
  for (let n = 0; n < sizeOf(shape); n++) {
    let rest = n;
    const index = [...shape].reverse().map((extent) => {
      const i = rest % extent;
      rest = Math.floor(rest / extent);
      return i;
    });
    yield index.reverse();
  }
}

async function evaluate(y: Tensor, leaves: readonly Tensor[], values: readonly Float32Array[]): Promise<Float64Array> {
  const [found] = await runOn(new ReferenceBackend(), [y], leaves, values);
  return found as Float64Array;
}

test.each([
  [[2, 6, 3], 4],
  [[1, 5, 2], 5],
  [[3, 4, 1], 1],
] as const)("depthwise: x %j with %i taps", async (shape, taps) => {
  const [b, s, d] = shape;
  const [x, w] = [input("x", shape), input("w", [taps, d])];
  const values = [draw(shape), draw([taps, d])] as const;
  const y = depthwiseConv(x, w);
  expect(y.shape).toEqual([b, s - taps + 1, d]);
  const expected = [...indices(y.shape as number[])].map(([n, t, j]) => {
    let total = 0;
    for (let i = 0; i < taps; i++)
      total +=
        at(values[1], [taps, d], [i, j as number]) *
        at(values[0], shape, [n as number, (t as number) + i, j as number]);
    return total;
  });
  expect(largestError(await evaluate(y, [x, w], values), expected)).toBeLessThan(1e-6);
});

test.each<[readonly number[], readonly number[], Required<Conv2dOptions>]>([
  [[2, 3, 4, 5], [4, 3, 2, 3], { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }],
  [[1, 4, 5, 6], [6, 2, 3, 2], { stride: [2, 3], padding: [1, 2], dilation: [1, 1], groups: 2 }],
  [[2, 3, 5, 5], [3, 1, 2, 2], { stride: [1, 2], padding: [1, 0], dilation: [3, 2], groups: 3 }],
  [[1, 2, 1, 1], [2, 2, 3, 3], { stride: [4, 4], padding: [1, 1], dilation: [1, 1], groups: 1 }],
  [[1, 1, 7, 3], [1, 1, 1, 1], { stride: [3, 2], padding: [0, 0], dilation: [5, 5], groups: 1 }],
])("images: x %j, w %j, %j", async (xShape, wShape, options) => {
  const { stride, padding, dilation, groups } = options;
  const [x, w] = [input("x", xShape), input("w", wShape)];
  const values = [draw(xShape), draw(wShape)] as const;
  const [out, inner, kh, kw] = wShape as [number, number, number, number];
  const y = conv2d(x, w, options);
  const extent = (axis: 0 | 1) =>
    Math.floor(
      ((xShape[2 + axis] as number) + 2 * padding[axis] - dilation[axis] * ((wShape[2 + axis] as number) - 1) - 1) /
        stride[axis],
    ) + 1;
  expect(y.shape).toEqual([xShape[0], out, extent(0), extent(1)]);
  const expected = [...indices(y.shape as number[])].map((index) => {
    const [n, o, p, q] = index as [number, number, number, number];
    const first = Math.floor(o / (out / groups)) * inner;
    let total = 0;
    for (const [c, i, j] of indices([inner, kh, kw]) as Iterable<[number, number, number]>) {
      const row = p * stride[0] - padding[0] + i * dilation[0];
      const column = q * stride[1] - padding[1] + j * dilation[1];
      total += at(values[1], wShape, [o, c, i, j]) * at(values[0], xShape, [n, first + c, row, column]);
    }
    return total;
  });
  expect(largestError(await evaluate(y, [x, w], values), expected)).toBeLessThan(1e-6);
});

test.each<[string, Conv2dOptions, RegExp]>([
  ["a stride of nothing", { stride: [1, 0] }, /stride 1,0/],
  ["half a step", { dilation: [0.5, 1] }, /dilation 0.5,1/],
  ["padding that cuts", { padding: [0, -1] }, /padding 0,-1/],
  ["no groups", { groups: 0 }, /groups 0/],
  ["groups that do not divide", { groups: 3 }, /3 groups does not fit/],
  ["a kernel wider than the image", { dilation: [1, 4] }, /kernel over 9 positions .* found 5/],
])("%s: refused", (_, options, message) => {
  expect(() => conv2d(input("x", [1, 2, 4, 5]), input("w", [2, 2, 3, 3]), options)).toThrow(message);
});

test("operands of other shapes and types are refused, and fewer positions than taps", () => {
  const [x, w] = [input("x", [1, 2, 4, 5]), input("w", [2, 2, 0, 3])];
  expect(() => conv2d(x, w)).toThrow(/no taps/);
  expect(() => conv2d(input("x", [1, 2, sym("H"), 5]), input("w", [2, 2, 3, 3]))).toThrow(/known/);
  expect(() => conv2d(x, input("w", [2, 2, 1, 1], "float16"))).toThrow(/float32 and float16/);
  const rows = input("rows", [1, 2, 2]);
  expect(() => depthwiseConv(rows, input("taps", [4, 2]))).toThrow(/4 taps need as many positions, found 2/);
  expect(depthwiseConv(rows, input("taps", [3, 2])).shape).toEqual([1, 0, 2]);
  expect(() => depthwiseConv(rows, input("taps", [2, 3]))).toThrow(/are not/);
  expect(() => depthwiseConv(rows, input("taps", [sym("K"), 2]))).toThrow(/taps must be known/);
  expect(depthwiseConv(input("open", [1, sym("S"), 2]), input("taps", [4, 2])).shape[1]?.toString()).toBe("-3+S");
});
