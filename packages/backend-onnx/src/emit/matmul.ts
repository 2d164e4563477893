// Matrix products. ORT's kernels read either operand transposed and scale the result for free; its FusedMatMul also
// reads an operand whose rows lie outside its batch axes ([P, heads, d] as heads matrices of P rows), which is how a
// cache is read in the layout in which it grows. A transpose of an operand is therefore absorbed where it can be.
import { allocHost, type Dim, scalarValue, type Tensor } from "@caramba/tensor";
import type { Emit, Emitter } from "./emitter.ts";

/** An operand as the kernel reads it. */
interface Operand {
  readonly source: Tensor;
  /** Factor that was on it. */
  readonly scale: number;
  readonly trans: boolean;
  /** Rows are axis 0, in front of the batch axes. */
  readonly transBatch: boolean;
}

const matches = (perm: readonly number[], axes: readonly number[]): boolean => perm.every((p, i) => p === axes[i]);

/** Looks through a transpose that the kernel's flags can express. */
function operand(t: Tensor, trans: boolean): Operand {
  // A constant factor goes into alpha.
  const factor = t.op.name === "mul" && t.inputs[1]?.rank === 0 ? scalarValue(t.inputs[1]) : undefined;
  if (factor !== undefined) {
    const inner = operand(t.inputs[0] as Tensor, trans);
    return { ...inner, scale: inner.scale * factor };
  }
  const plain = { source: t, scale: 1, trans, transBatch: false };
  if (t.op.name !== "transpose") return plain;
  const { perm } = t.attrs as { perm: readonly number[] };
  const [source] = t.inputs as [Tensor];
  const rank = perm.length;
  const axes = Array.from({ length: rank }, (_, i) => i);
  const last = rank - 1;
  if (matches(perm, [...axes.slice(0, -2), last, last - 1])) return { ...plain, source, trans: !trans };
  if (rank < 3) return plain;
  const batch = axes.slice(1, -1);
  if (matches(perm, [...batch, 0, last])) return { ...plain, source, transBatch: true };
  if (matches(perm, [...batch, last, 0])) return { ...plain, source, trans: !trans, transBatch: true };
  return plain;
}

/** Without FusedMatMul (no standard operator; webgpu and coreml run it on the CPU): transposes in memory, then MatMul. */
function plainProduct(e: Emitter, t: Tensor): string {
  const { transA, transB, alpha } = t.attrs as { transA: boolean; transB: boolean; alpha: number };
  const [a, b] = t.inputs.map((x, i) => {
    if (!(i === 0 ? transA : transB)) return e.value(x);
    const axes = Array.from({ length: x.rank }, (_, axis) => axis);
    return e.node("Transpose", [e.value(x)], { perm: [...axes.slice(0, -2), x.rank - 1, x.rank - 2] });
  }) as [string, string];
  const product = e.node("MatMul", [a, b]);
  return alpha === 1 ? product : e.node("Mul", [product, e.float(alpha)]);
}

/** A product over nothing, or of nothing: ORT's kernels divide by zero there. */
function emptyProduct(e: Emitter, t: Tensor): string | undefined {
  if (t.shape.includes(0)) return e.constant(t.dtype, t.shape as number[], allocHost(t.dtype, 0));
  if (!t.inputs.some((x) => x.shape.includes(0))) return undefined;
  return e.node("Expand", [e.constant(t.dtype, [], allocHost(t.dtype, 1)), e.shape(t.shape)]);
}

const matmul: Emit = (e, t) => {
  const empty = emptyProduct(e, t);
  if (empty !== undefined) return empty;
  const { transA, transB } = t.attrs as { transA: boolean; transB: boolean };
  const [a, b] = [operand(t.inputs[0] as Tensor, transA), operand(t.inputs[1] as Tensor, transB)];
  const alpha = (t.attrs["alpha"] as number) * a.scale * b.scale;
  const names = [e.value(a.source), e.value(b.source)];
  const flags = { transA: a.trans ? 1 : 0, transB: b.trans ? 1 : 0, alpha: { float: alpha } };
  const rank2 = a.source.rank === 2 && b.source.rank === 2;
  if (rank2) return e.node("Gemm", names, flags);
  if (["webgpu", "coreml", "standard"].includes(e.device)) return plainProduct(e, t);
  const plain = !a.trans && !b.trans && !a.transBatch && !b.transBatch && alpha === 1;
  if (plain) return e.node("MatMul", names);
  const columns = t.shape[t.rank - 1] as Dim;
  // a^T b with few columns: the kernel spends its time on turning a. (b^T a)^T turns only what is small; measured
  // 1.8 times faster for [128, 128] by [128, 32], the same for [256, 256] by [256, 64].
  const narrow = typeof columns === "number" && columns <= 32 && a.source.rank === b.source.rank;
  if (narrow && a.trans && !b.trans && !a.transBatch && !b.transBatch) {
    const turned = e.contrib("FusedMatMul", [...names].reverse(), { transA: 1, alpha: { float: alpha } });
    const axes = Array.from({ length: t.rank }, (_, axis) => axis);
    return e.node("Transpose", [turned], { perm: [...axes.slice(0, -2), t.rank - 1, t.rank - 2] });
  }
  return e.contrib("FusedMatMul", names, {
    ...flags,
    transBatchA: a.transBatch ? 1 : 0,
    transBatchB: b.transBatch ? 1 : 0,
  });
};

export const products: Readonly<Record<string, Emit>> = { matmul };
