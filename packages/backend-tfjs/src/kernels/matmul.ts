// Matrix products. cpu, webgpu and node take batches and transposes in their kernel. wasm reaches its fast library
// (XNNPACK) only with one plain product at a time, and is 5 to 14 times slower otherwise: there operands are transposed
// beforehand and batches taken one by one, unless a product is too small to repay that.
import type { Tensor } from "@tensorflow/tfjs-core";
import { type Kernel, type Scratch, sizeOf } from "../scratch.ts";
import { expand } from "./broadcast.ts";
import { permute } from "./shape.ts";

interface Product {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** Multiply-adds of one product above which taking a batch apart (some 50 microseconds each) pays on wasm. */
const worthSlicing = 32_768;

const native = (s: Scratch, a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor =>
  s.run("BatchMatMul", { a, b }, { transposeA, transposeB });

/** Rows of values in the engine that were a right operand: XNNPACK keeps them packed for that many rows. */
const packedRows = new WeakMap<object, number>();

/**
 * b [1, k, n], or a copy where its values were packed for another k. wasm finds what it packed by the values alone; with
 * a vector that was a row and is now a column it would write past its result.
 */
function packable(s: Scratch, b: Tensor): Tensor {
  const [, k] = b.shape as [number, number, number];
  const rows = packedRows.get(b.dataId);
  if (rows !== undefined && rows !== k) return s.fresh(b.dataSync<"float32">(), b.shape, "float32");
  packedRows.set(b.dataId, k);
  return b;
}

const swapped = (s: Scratch, x: Tensor): Tensor => permute(s, x, [0, 2, 1]);

/** Products of equal batches [B, ., .] on wasm. */
function plainProducts(s: Scratch, a: Tensor, b: Tensor, { transA, transB, m, k, n }: Product): Tensor {
  // A B = (B^T A^T)^T: take the side that moves fewer elements.
  const direct = (transA ? m * k : 0) + (transB ? n * k : 0);
  const turned = (transA ? 0 : m * k) + (transB ? 0 : n * k) + m * n;
  if (turned < direct) {
    const product = eachProduct(s, transB ? b : swapped(s, b), transA ? a : swapped(s, a));
    return swapped(s, product);
  }
  return eachProduct(s, transA ? swapped(s, a) : a, transB ? swapped(s, b) : b);
}

/** [B, m, k] x [B, k, n], one after the other. */
function eachProduct(s: Scratch, a: Tensor, b: Tensor): Tensor {
  const [batch, m, k] = a.shape as [number, number, number];
  const n = b.shape[2] as number;
  if (batch === 1) return native(s, a, packable(s, b), false, false);
  // wasm's Slice copies the whole tensor out of its heap for every part: copy it once.
  const parts = (x: Tensor, rows: number, columns: number) => {
    const values = x.dataSync<"float32">();
    const part = rows * columns;
    return (i: number) => s.fresh(values.subarray(i * part, (i + 1) * part), [1, rows, columns], "float32");
  };
  const [left, right] = [parts(a, m, k), parts(b, k, n)];
  const products = Array.from({ length: batch }, (_, i) => native(s, left(i), right(i), false, false));
  return s.run("Concat", products, { axis: 0 });
}

/** Multiplies by a scalar where it costs least. */
function scaled(s: Scratch, x: Tensor, alpha: number): Tensor {
  return alpha === 1 ? x : s.run("Multiply", { a: x, b: s.number(alpha, "float32") });
}

const matmul: Kernel = (s, inputs, { attrs, shape }) => {
  const [x, y] = inputs as [Tensor, Tensor];
  const [transA, transB] = [attrs["transA"] as boolean, attrs["transB"] as boolean];
  const alpha = attrs["alpha"] as number;
  const [m, n] = shape.slice(-2) as [number, number];
  const k = x.shape[x.shape.length - (transA ? 2 : 1)] as number;
  if (k === 0) return s.filled(shape, 0, "float32");
  const batch = shape.slice(0, -2);
  const size = sizeOf(batch);
  const product = { transA, transB, m, k, n };

  const [batchA, batchB] = [x, y].map((t) => sizeOf(t.shape.slice(0, -2))) as [number, number];
  // One right operand for all rows: a single product.
  const folded = batchB === 1 && !transA && batchA === size;
  const a3 = folded
    ? s.shaped(x, [1, size * m, k])
    : s.shaped(batchA === 1 ? x : expand(s, x, [...batch, ...x.shape.slice(-2)]), [
        batchA === 1 ? 1 : size,
        ...x.shape.slice(-2),
      ]);
  const b3 = s.shaped(folded || batchB === 1 ? y : expand(s, y, [...batch, ...y.shape.slice(-2)]), [
    folded || batchB === 1 ? 1 : size,
    ...y.shape.slice(-2),
  ]);
  const a = scaled(s, a3, a3.size <= b3.size && a3.size <= sizeOf(shape) ? alpha : 1);
  const rest = a === a3 ? alpha : 1;

  const one = folded || size === 1;
  const fast = s.engine === "wasm" && (one || m * k * n >= worthSlicing);
  if (!fast) return s.shaped(scaled(s, native(s, a, b3, transA, transB), rest), shape);
  const full = (t: Tensor) => (one ? t : expand(s, t, [size, ...t.shape.slice(1)]));
  const out = plainProducts(s, full(a), full(b3), folded ? { ...product, m: size * m } : product);
  return s.shaped(scaled(s, out, rest), shape);
};

/** Softmax over the last axis; TensorFlow.js' kernels take the axis counted from the front. */
const softmax: Kernel = (s, [x], { shape }) => {
  const width = shape[shape.length - 1] as number;
  const logits = s.shaped(x as Tensor, [sizeOf(shape) / width, width]);
  return s.shaped(s.run("Softmax", { logits }, { dim: 1 }), shape);
};

export const products: readonly (readonly [string, Kernel])[] = [
  ["matmul", matmul],
  ["softmax", softmax],
];
