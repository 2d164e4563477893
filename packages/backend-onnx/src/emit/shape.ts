// Ops that move values, and reductions. Extents that are known only at run time become small int64 computations.
import { addDims, type Dim, dimEquals, type Shape, shapeEquals, type Tensor } from "@caramba/tensor";
import type { Emit, Emitter } from "./emitter.ts";

const reshape: Emit = (e, t) => e.reshape(e.value(t.inputs[0] as Tensor), t.shape);

/** Whether a permutation moves only axes of extent 1, so that the values stay where they are. */
export function movesNothing(shape: Shape, perm: readonly number[]): boolean {
  const moved = perm.filter((axis) => shape[axis] !== 1);
  return moved.every((axis, i) => i === 0 || axis > (moved[i - 1] as number));
}

const transpose: Emit = (e, t) => {
  const [x] = t.inputs as [Tensor];
  const { perm } = t.attrs as { perm: readonly number[] };
  if (movesNothing(x.shape, perm)) return e.reshape(e.value(x), t.shape);
  return e.node("Transpose", [e.value(x)], { perm });
};

const broadcastTo: Emit = (e, t) => e.node("Expand", [e.value(t.inputs[0] as Tensor), e.shape(t.shape)]);

const concat: Emit = (e, t) => e.node("Concat", e.values(t), { axis: t.attrs["axis"] as number });

const slice: Emit = (e, t) => {
  const { axis, start, end } = t.attrs as { axis: number; start: Dim; end: Dim };
  const [x] = t.inputs as [Tensor];
  // One entry of 0, 1, 2, ... is its own position: how graphs turn a dimension into a number.
  if (x.op.name === "iota" && dimEquals(end, addDims(start, 1))) return e.cast(e.dim(start), "int32");
  return e.node("Slice", [e.value(x), e.dim(start), e.dim(end), e.ints([axis])]);
};

const pad: Emit = (e, t) => {
  const { axis, before, after } = t.attrs as { axis: number; before: Dim; after: Dim };
  const [x] = t.inputs as [Tensor];
  // Amounts for every axis: ORT's transpose optimizer mistakes a Pad that names its axes (Gather out of bounds).
  const amounts: Dim[] = [
    ...x.shape.map((_, i) => (i === axis ? before : 0)),
    ...x.shape.map((_, i) => (i === axis ? after : 0)),
  ];
  const pads = amounts.every((n) => typeof n === "number")
    ? e.ints(amounts)
    : e.node(
        "Concat",
        amounts.map((n) => e.dim(n)),
        { axis: 0 },
      );
  return e.node("Pad", [e.value(x), pads]);
};

const reduce =
  (op: string): Emit =>
  (e, t) => {
    const { axes, keepDims } = t.attrs as { axes: readonly number[]; keepDims: boolean };
    return e.node(op, [e.value(t.inputs[0] as Tensor), e.ints(axes)], { keepdims: keepDims ? 1 : 0 });
  };

/**
 * The two factors of a cheaper product with the same sum over the last axis, if t is the inner sum of attention's
 * softmax gradient: sum_j p_ij (dy_i . v_j) = dy_i . (sum_j p_ij v_j) = dy_i . y_i, whose rows are as long as a head
 * and not as the context (Dao et al., "FlashAttention", 2022, appendix B).
 */
function attentionSum(e: Emitter, t: Tensor): [Tensor, Tensor] | undefined {
  const { axes, keepDims } = t.attrs as { axes: readonly number[]; keepDims: boolean };
  const [weighted] = t.inputs as [Tensor];
  if (weighted.op.name !== "mul" || !keepDims || axes.length !== 1 || axes[0] !== weighted.rank - 1) return undefined;
  const [g, p] = weighted.inputs as [Tensor, Tensor];
  if (g.op.name !== "matmul" || !shapeEquals(g.shape, p.shape)) return undefined;
  const [dy, v] = g.inputs as [Tensor, Tensor];
  const plain = (x: Tensor, transB: boolean) =>
    x.attrs["transA"] === false && x.attrs["transB"] === transB && x.attrs["alpha"] === 1;
  if (!plain(g, true)) return undefined;
  const y = e
    .users(p)
    .find((user) => user.op.name === "matmul" && user.inputs[0] === p && user.inputs[1] === v && plain(user, false));
  return y && shapeEquals(y.shape, dy.shape) ? [dy, y] : undefined;
}

const sum: Emit = (e, t) => {
  const factors = attentionSum(e, t);
  if (!factors) return reduce("ReduceSum")(e, t);
  const product = e.node(
    "Mul",
    factors.map((x) => e.value(x)),
  );
  return e.node("ReduceSum", [product, e.ints([t.rank - 1])], { keepdims: 1 });
};

export const shapeOps: Readonly<Record<string, Emit>> = {
  reshape,
  transpose,
  broadcastTo,
  concat,
  slice,
  pad,
  sum,
  mean: reduce("ReduceMean"),
  max: reduce("ReduceMax"),
};
