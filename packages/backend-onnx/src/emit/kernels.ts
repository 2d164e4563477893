// Composites with a kernel of their own in ORT.
import { constantValue, type Dim, dimEquals, isFloat, type Tensor } from "@caramba/tensor";
import type { Emit } from "./emitter.ts";

/** The x and eps of 1 / sqrt(mean(x^2) + eps) over the last axis, if that is what a node computes. */
function inverseRmsOf(t: Tensor): { x: Tensor; eps: number } | undefined {
  const input = (node: Tensor | undefined, op: string, at = 0) =>
    node?.op.name === op ? (node.inputs[at] as Tensor) : undefined;
  const sum = input(input(t, "reciprocal"), "sqrt");
  const mean = input(sum, "add");
  const eps = sum?.inputs[1];
  const square = input(mean, "mean");
  const x = input(square, "mul");
  if (!mean || !square || !x || !eps || x !== square.inputs[1]) return undefined;
  const { axes, keepDims } = mean.attrs as { axes: readonly number[]; keepDims: boolean };
  if (!keepDims || axes.length !== 1 || axes[0] !== x.rank - 1) return undefined;
  const value = eps.rank === 0 ? constantValue(eps)?.[0] : undefined;
  return value === undefined ? undefined : { x, eps: value };
}

const rmsNorm: Emit = (e, t) => {
  const [x, w] = t.inputs as [Tensor, Tensor];
  const eps = t.attrs["eps"] as number;
  const { name, shape } = e.source(x);
  const width = t.shape[t.rank - 1] as Dim;
  // Before a reshape that left the rows whole, the same rows are there.
  const rows = dimEquals(shape[shape.length - 1] ?? 0, width) ? { name, shape } : { name: e.value(x), shape: x.shape };
  const [y, inverse] = e.split("SimplifiedLayerNormalization", [rows.name, e.value(w)], 2, {
    axis: -1,
    epsilon: { float: eps },
  }) as [string, string];
  e.describe(y, rows.shape);
  e.describe(inverse, [...rows.shape.slice(0, -1), 1]);
  // Its gradient wants 1/rms, which this kernel can give. Not on webgpu: its second output is wrong there.
  if (e.device === "cpu" || e.device === "cuda")
    for (const square of e.users(x))
      for (const mean of e.users(square))
        for (const shifted of e.users(mean))
          for (const root of e.users(shifted))
            for (const r of e.users(root)) {
              const found = inverseRmsOf(r);
              if (found?.x === x && Math.fround(found.eps) === Math.fround(eps))
                e.define(r, e.reshape(inverse, r.shape));
            }
  return e.reshape(y, t.shape);
};

const layerNorm: Emit = (e, t) =>
  e.node("LayerNormalization", e.values(t), { axis: -1, epsilon: { float: t.attrs["eps"] as number } });

const rope: Emit = (e, t) => {
  const [x, cos, sin] = t.inputs as [Tensor, Tensor, Tensor];
  const shared = (table: Tensor) => table.rank === 2 && dimEquals(table.shape[0] as Dim, x.shape[2] ?? 0);
  const kernel = (e.device === "cpu" || e.device === "cuda") && x.rank === 4 && shared(cos) && shared(sin);
  if (!kernel) return e.value((t.op.decompose as NonNullable<typeof t.op.decompose>)(t.inputs, t.attrs));
  // Positions 0, 1, ... of the tables.
  return e.contrib("RotaryEmbedding", [e.value(x), e.ints([0]), e.value(cos), e.value(sin)]);
};

const conv2d: Emit = (e, t) => {
  const { stride, padding, dilation, groups } = t.attrs as {
    stride: readonly [number, number];
    padding: readonly [number, number];
    dilation: readonly [number, number];
    groups: number;
  };
  return e.node("Conv", e.values(t), {
    strides: stride,
    pads: [...padding, ...padding],
    dilations: dilation,
    group: groups,
  });
};

/** x, but only once the trigger is there: plus the sum of none of its elements. */
const after: Emit = (e, t) => {
  const [x, trigger] = t.inputs as [Tensor, Tensor];
  if (!isFloat(x.dtype) || !isFloat(trigger.dtype)) return e.value(x);
  const list = trigger.rank === 0 ? e.reshape(e.value(trigger), [1]) : e.value(trigger);
  const none = e.node("Slice", [list, e.ints([0]), e.ints([0]), e.ints([0])]);
  const zero = e.node("ReduceSum", [none], { keepdims: 0 });
  return e.node("Add", [e.value(x), trigger.dtype === x.dtype ? zero : e.cast(zero, x.dtype)]);
};

export const kernels: Readonly<Record<string, Emit>> = {
  softmax: (e, t) => e.node("Softmax", e.values(t), { axis: -1 }),
  logSoftmax: (e, t) => e.node("LogSoftmax", e.values(t), { axis: -1 }),
  rmsNorm,
  layerNorm,
  rope,
  conv2d,
  after,
  // x sigmoid(alpha x): SiLU in one pass.
  silu: (e, t) => e.elementwise(t, t.inputs, (names) => e.contrib("QuickGelu", names, { alpha: { float: 1 } })),
  gelu: (e, t) => (e.device === "standard" ? e.node("Gelu", e.values(t)) : e.contrib("Gelu", e.values(t))),
};
