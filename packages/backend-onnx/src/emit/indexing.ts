// Ops that read or write at given positions, and iota.
import { type Dim, sizeOf, type Tensor } from "@caramba/tensor";
import type { Emit, Emitter } from "./emitter.ts";

const gather: Emit = (e, t) => {
  const [table, indices] = t.inputs as [Tensor, Tensor];
  if (indices.rank < 2) return e.node("Gather", e.values(t), { axis: 0 });
  // Rows as a list: products want them so, and the reshape mostly vanishes.
  const count = sizeOf(indices.shape);
  const rows = e.node("Gather", [e.value(table), e.reshape(e.value(indices), [count])], { axis: 0 });
  e.describe(rows, [count, ...table.shape.slice(1)]);
  return e.reshape(rows, t.shape);
};

/** Indices of one element per row, as GatherElements and ScatterElements want them: [..., 1]. */
const column = (e: Emitter, t: Tensor): string => e.reshape(e.value(t), [...t.shape, 1]);

const takeAlong: Emit = (e, t) => {
  const [x, indices] = t.inputs as [Tensor, Tensor];
  const [logits] = x.inputs;
  const softmax = x.op.name === "logSoftmax" ? e.users(x).find((user) => user.op.name === "exp") : undefined;
  const from = softmax && logits ? logits : x;
  const taken = e.node("GatherElements", [e.value(from), column(e, indices)], { axis: x.rank - 1 });
  if (!softmax || !logits) return e.reshape(taken, t.shape);
  // Cross-entropy in training: the gradient needs softmax(x) anyway, so log softmax of one entry comes from it without
  // a second table: x_t - max(x) - log(sum(exp(x - max))), where that sum is 1 / max(softmax).
  const largest = (table: Tensor) => e.node("ReduceMax", [e.value(table), e.ints([x.rank - 1])], { keepdims: 1 });
  const log = e.node("Add", [e.node("Sub", [taken, largest(logits)]), e.node("Log", [largest(softmax)])]);
  return e.reshape(log, t.shape);
};

const scatterAddAlong: Emit = (e, t) => {
  const [x, indices, values] = t.inputs as [Tensor, Tensor, Tensor];
  return e.node("ScatterElements", [e.value(x), column(e, indices), column(e, values)], {
    axis: x.rank - 1,
    reduction: "add",
  });
};

// Not ScatterND: its kernel (ORT 1.30, CPU) shares the updates out to threads that add without a lock, so where an index
// comes twice an update may be lost. ScatterElements takes them one after the other, in about the same time.
const scatterAdd: Emit = (e, t) => {
  const [indices, updates] = t.inputs as [Tensor, Tensor];
  const count: Dim = sizeOf(indices.shape);
  const width: Dim = sizeOf(t.shape.slice(1));
  const zero = e.constant(t.dtype, [], t.dtype === "int32" ? new Int32Array(1) : new Float32Array(1));
  // ORT finds indices and updates of rows without elements to differ in shape.
  if (width === 0) return e.node("Expand", [zero, e.shape(t.shape)]);
  // Expand, not a constant: the kernel writes into its input when that is a temporary.
  const zeros = e.node("Expand", [zero, e.shape([t.shape[0] as Dim, width])]);
  const at = e.node("Expand", [e.reshape(e.value(indices), [count, 1]), e.shape([count, width])]);
  const rows = e.reshape(e.value(updates), [count, width]);
  const sums = e.node("ScatterElements", [zeros, at, rows], { axis: 0, reduction: "add" });
  e.describe(sums, [t.shape[0] as Dim, width]);
  return e.reshape(sums, t.shape);
};

const iota: Emit = (e, t) => {
  const { size } = t.attrs as { size: Dim };
  if (typeof size === "number")
    return e.constant(
      "int32",
      [size],
      Int32Array.from({ length: size }, (_, i) => i),
    );
  const end = e.reshape(e.cast(e.dim(size), "int32"), []);
  const [zero, one] = [0, 1].map((v) => e.constant("int32", [], Int32Array.of(v))) as [string, string];
  return e.node("Range", [zero, end, one]);
};

export const indexing: Readonly<Record<string, Emit>> = { gather, takeAlong, scatterAddAlong, scatterAdd, iota };
