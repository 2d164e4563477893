// Ops that move values, and reductions. Each is brought to a form of at most four axes first: along one axis a value is
// [outer, n, inner], whatever its rank.
import type { Tensor } from "@tensorflow/tfjs-core";
import { type Kernel, type Scratch, sizeOf } from "../scratch.ts";
import { expand, safeRank } from "./broadcast.ts";

const reshape: Kernel = (s, [x], { shape }) => s.shaped(x as Tensor, shape);
const broadcastTo: Kernel = (s, [x], { shape }) => expand(s, x as Tensor, shape);

/** A permutation without axes of extent 1 and with axes merged that stay neighbours. */
export function collapsePermutation(shape: readonly number[], perm: readonly number[]): [number[], number[]] {
  const kept = perm.filter((axis) => shape[axis] !== 1);
  // Runs of source axes, in the order of the result.
  const runs: number[][] = [];
  const position = [...kept].sort((a, b) => a - b);
  for (const axis of kept) {
    const run = runs[runs.length - 1];
    const before = run?.[run.length - 1];
    if (run && before !== undefined && position.indexOf(axis) === position.indexOf(before) + 1) run.push(axis);
    else runs.push([axis]);
  }
  const inOrder = [...runs].sort((a, b) => (a[0] as number) - (b[0] as number));
  return [
    inOrder.map((run) => run.reduce((n, axis) => n * (shape[axis] as number), 1)),
    runs.map((run) => inOrder.indexOf(run)),
  ];
}

/** Axis i of the result is axis perm[i] of x. */
export function permute(s: Scratch, x: Tensor, perm: readonly number[]): Tensor {
  const to = perm.map((axis) => x.shape[axis] as number);
  const [shape, order] = collapsePermutation(x.shape, perm);
  if (shape.length <= 1) return s.shaped(x, to);
  if (shape.length <= safeRank) return s.shaped(s.run("Transpose", { x: s.shaped(x, shape) }, { perm: order }), to);
  // Bring one axis after the other to the front of what is left: each a swap of two blocks.
  let value = x;
  const extents = [...shape];
  const left = order.map((_, i) => i);
  for (let done = 0; done < order.length; done++) {
    const at = left.indexOf(order[done] as number);
    if (at === done) continue;
    const blocks = [extents.slice(0, done), extents.slice(done, at), extents.slice(at, at + 1), extents.slice(at + 1)];
    value = s.run("Transpose", { x: s.shaped(value, blocks.map(sizeOf)) }, { perm: [0, 2, 1, 3] });
    left.splice(done, 0, ...left.splice(at, 1));
    extents.splice(done, 0, ...extents.splice(at, 1));
  }
  return s.shaped(value, to);
}

const transpose: Kernel = (s, [x], { attrs }) => permute(s, x as Tensor, attrs["perm"] as readonly number[]);

const concat: Kernel = (s, inputs, { attrs, shape }) => {
  const axis = attrs["axis"] as number;
  const outer = sizeOf(shape.slice(0, axis));
  const parts = inputs.filter((x) => x.size > 0).map((x) => s.shaped(x, [outer, x.size / outer]));
  const [only] = parts;
  return s.shaped(parts.length === 1 && only ? only : s.run("Concat", parts, { axis: 1 }), shape);
};

const slice: Kernel = (s, [x], { attrs, shape }) => {
  const [axis, start] = [attrs["axis"] as number, attrs["start"] as number];
  const from = (x as Tensor).shape;
  const [outer, inner] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  const view = s.shaped(x as Tensor, [outer, (from[axis] as number) * inner]);
  const part = { begin: [0, start * inner], size: [outer, (shape[axis] as number) * inner] };
  return s.shaped(s.run("Slice", { x: view }, part), shape);
};

const pad: Kernel = (s, [x], { attrs, shape, dtype }) => {
  const value = x as Tensor;
  if (value.size === 0) return s.filled(shape, 0, dtype);
  const axis = attrs["axis"] as number;
  const [outer, inner] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  const paddings = [
    [0, 0],
    [(attrs["before"] as number) * inner, (attrs["after"] as number) * inner],
  ];
  const view = s.shaped(value, [outer, (value.shape[axis] as number) * inner]);
  return s.shaped(s.run("PadV2", { x: view }, { paddings, constantValue: 0 }), shape);
};

/** The value of a reduction over nothing. */
const ofNothing: Readonly<Record<string, number>> = { Sum: 0, Mean: Number.NaN, Max: Number.NEGATIVE_INFINITY };

const reduction =
  (kernel: "Sum" | "Mean" | "Max"): Kernel =>
  (s, [x], { attrs, shape, dtype }) => {
    const axes = attrs["axes"] as readonly number[];
    let value = x as Tensor;
    if (value.size === 0) return s.filled(shape, ofNothing[kernel] as number, dtype);
    // Neighbouring axes of one kind merged: kept and reduced groups alternate.
    const groups: { n: number; reduced: boolean }[] = [];
    value.shape.forEach((n, i) => {
      const reduced = axes.includes(i);
      const last = groups[groups.length - 1];
      if (n === 1) return;
      if (last?.reduced === reduced) last.n *= n;
      else groups.push({ n, reduced });
    });
    // One group after the other, the last first: rank 3 at most, and the mean of equal parts' means is the mean.
    for (let i = groups.length - 1; i >= 0; i--) {
      const group = groups[i] as { n: number; reduced: boolean };
      if (!group.reduced) continue;
      const outer = sizeOf(groups.slice(0, i).map((g) => g.n));
      const view = s.shaped(value, [outer, group.n, value.size / (outer * group.n)]);
      // wasm sums down columns slowly; a product with a row of ones is twenty times faster.
      if (s.engine === "wasm" && outer === 1 && value.size > group.n && kernel !== "Max" && dtype === "float32") {
        const row = s.filled([1, 1, group.n], kernel === "Sum" ? 1 : 1 / group.n, "float32");
        value = s.run("BatchMatMul", { a: row, b: view }, { transposeA: false, transposeB: false });
        continue;
      }
      value =
        kernel === "Max"
          ? s.run(kernel, { x: view }, { reductionIndices: [1], keepDims: false })
          : s.run(kernel, { x: view }, { axis: [1], keepDims: false });
    }
    return s.shaped(value, shape);
  };

export const shapes: readonly (readonly [string, Kernel])[] = [
  ["reshape", reshape],
  ["transpose", transpose],
  ["broadcastTo", broadcastTo],
  ["concat", concat],
  ["slice", slice],
  ["pad", pad],
  ["sum", reduction("Sum")],
  ["mean", reduction("Mean")],
  ["max", reduction("Max")],
];
