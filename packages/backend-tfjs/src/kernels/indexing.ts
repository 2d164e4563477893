// Ops that read or write at positions. Adding at repeated positions is ScatterNd, which sums duplicates on every engine
// (UnsortedSegmentSum, the kernel made for it, is missing on wasm and takes O(rows * updates) on cpu). One element per
// row is a gather or scatter in the flattened value.
import { CarambaError } from "@caramba/tensor";
import type { Tensor } from "@tensorflow/tfjs-core";
import { type Kernel, type Scratch, sizeOf } from "../scratch.ts";

/** Engines read or write elsewhere, or nothing, when an index is out of range: say so instead, where values can be read. */
function checkIndices(s: Scratch, indices: Tensor, extent: number): void {
  const values = s.peek(indices);
  if (!values) return;
  for (let i = 0; i < values.length; i++) {
    const index = values[i] as number;
    if (index < 0 || index >= extent)
      throw new CarambaError(`index ${index} at position ${i} is outside [0, ${extent})`, {
        code: "index",
        remedy: "check the token ids against the vocabulary size",
      });
  }
}

/** Positions in a flattened [rows, width] of one element per row. */
function flatPositions(s: Scratch, indices: Tensor, width: number): Tensor {
  checkIndices(s, indices, width);
  const starts = s.fresh(
    Int32Array.from({ length: indices.size }, (_, row) => row * width),
    [indices.size],
    "int32",
  );
  return s.run("Add", { a: s.shaped(indices, [indices.size]), b: starts });
}

const gather: Kernel = (s, inputs, { shape }) => {
  const [table, indices] = inputs as [Tensor, Tensor];
  const [rows = 0, ...rest] = table.shape;
  checkIndices(s, indices, rows);
  const x = s.shaped(table, [rows, sizeOf(rest)]);
  const flat = s.shaped(indices, [indices.size]);
  return s.shaped(s.run("GatherV2", { x, indices: flat }, { axis: 0, batchDims: 0 }), shape);
};

const scatterAdd: Kernel = (s, inputs, { shape, dtype }) => {
  const [indices, updates] = inputs as [Tensor, Tensor];
  const [rows = 0, ...rest] = shape;
  if (updates.size === 0) return s.filled(shape, 0, dtype);
  checkIndices(s, indices, rows);
  const width = sizeOf(rest);
  const at = { indices: s.shaped(indices, [indices.size, 1]), updates: s.shaped(updates, [indices.size, width]) };
  return s.shaped(s.run("ScatterNd", at, { shape: [rows, width] }), shape);
};

const takeAlong: Kernel = (s, inputs, { shape }) => {
  const [x, indices] = inputs as [Tensor, Tensor];
  const at = flatPositions(s, indices, x.shape[x.shape.length - 1] as number);
  const picked = s.run("GatherV2", { x: s.shaped(x, [x.size]), indices: at }, { axis: 0, batchDims: 0 });
  return s.shaped(picked, shape);
};

const scatterAddAlong: Kernel = (s, inputs, { shape }) => {
  const [x, indices, values] = inputs as [Tensor, Tensor, Tensor];
  if (indices.size === 0) return x;
  const at = flatPositions(s, indices, x.shape[x.shape.length - 1] as number);
  const added = s.run(
    "ScatterNd",
    { indices: s.shaped(at, [at.size, 1]), updates: s.shaped(values, [at.size]) },
    { shape: [x.size] },
  );
  return s.shaped(s.run("Add", { a: s.shaped(x, [x.size]), b: added }), shape);
};

const iota: Kernel = (s, _inputs, { shape }) =>
  s.fresh(
    Int32Array.from({ length: shape[0] as number }, (_, i) => i),
    shape,
    "int32",
  );

export const indexing: readonly (readonly [string, Kernel])[] = [
  ["gather", gather],
  ["scatterAdd", scatterAdd],
  ["takeAlong", takeAlong],
  ["scatterAddAlong", scatterAddAlong],
  ["iota", iota],
];
