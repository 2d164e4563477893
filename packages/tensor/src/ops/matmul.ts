// Matrix multiplication, the one primitive where the time goes. Transposes and a scale are attributes, because every
// engine can absorb them and because the gradients of a matmul are matmuls with other flags.
import { type Dim, dimEquals, mulDims, shapeText, sizeOf } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { type Attrs, makeNode, type OpDef, type RefValue, type Tensor, type TensorType } from "../tensor.ts";
import { broadcastIndex, broadcastShapes } from "./broadcast.ts";
import { reshape, sumTo } from "./shape.ts";

/** How `matmul` reads its operands. */
export interface MatmulOptions {
  /** Read a with its last two axes swapped. */
  readonly transA?: boolean;
  /** Read b with its last two axes swapped. */
  readonly transB?: boolean;
  /** Factor on the product; default 1. */
  readonly alpha?: number;
}

interface MatmulAttrs extends Attrs {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly alpha: number;
}

/** Rows, inner width and columns of a product. */
export function matmulDims(
  a: TensorType,
  b: TensorType,
  attrs: { readonly transA: boolean; readonly transB: boolean },
): { m: Dim; k: Dim; n: Dim } {
  const [ra, rb] = [a.shape.length, b.shape.length];
  const k = a.shape[ra - (attrs.transA ? 2 : 1)] as Dim;
  const k2 = b.shape[rb - (attrs.transB ? 1 : 2)] as Dim;
  if (!dimEquals(k, k2)) {
    const text = (t: TensorType, transposed: boolean) => `${shapeText(t.shape)}${transposed ? " transposed" : ""}`;
    throw new ShapeError(
      `inner extents differ: ${text(a, attrs.transA)} x ${text(b, attrs.transB)} (${k} and ${k2})`,
      "the last axis of the first must equal the second-to-last of the second",
    );
  }
  return { m: a.shape[ra - (attrs.transA ? 1 : 2)] as Dim, k, n: b.shape[rb - (attrs.transB ? 2 : 1)] as Dim };
}

const matmulOp: OpDef<MatmulAttrs> = {
  name: "matmul",
  infer: (inputs, attrs) => {
    const [a, b] = inputs as [TensorType, TensorType];
    if (a.shape.length < 2 || b.shape.length < 2)
      throw new ShapeError(`operands ${shapeText(a.shape)} and ${shapeText(b.shape)} need rank 2 or more`);
    if (a.dtype !== b.dtype || !isFloat(a.dtype))
      throw new ShapeError(`operands have dtypes ${a.dtype} and ${b.dtype}`, "cast both to float32");
    const { m, n } = matmulDims(a, b, attrs);
    return { shape: [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n], dtype: a.dtype };
  },
  vjp: ({ g, inputs, attrs: { transA, transB, alpha } }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    return [
      () =>
        sumTo(
          transA ? matmul(b, g, { transA: transB, transB: true, alpha }) : matmul(g, b, { transB: !transB, alpha }),
          a.shape,
        ),
      () =>
        sumTo(
          transB ? matmul(g, a, { transA: true, transB: transA, alpha }) : matmul(a, g, { transA: !transA, alpha }),
          b.shape,
        ),
    ];
  },
  evaluate: (inputs, { transA, transB, alpha }, shape) => {
    const [a, b] = inputs as [RefValue, RefValue];
    const ra = a.shape.length;
    const m = shape[shape.length - 2] as number;
    const n = shape[shape.length - 1] as number;
    const k = a.shape[ra - (transA ? 2 : 1)] as number;
    const batch = shape.slice(0, -2);
    const offsetA = broadcastIndex(a.shape.slice(0, -2), batch);
    const offsetB = broadcastIndex(b.shape.slice(0, -2), batch);
    const [rowA, stepA] = transA ? [1, m] : [k, 1];
    const [stepB, columnB] = transB ? [1, k] : [n, 1];
    const out = new Float64Array(offsetA.length * m * n);
    for (let at = 0; at < offsetA.length; at++)
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let pa = (offsetA[at] as number) * m * k + i * rowA;
          let pb = (offsetB[at] as number) * k * n + j * columnB;
          let total = 0;
          for (let l = 0; l < k; l++, pa += stepA, pb += stepB)
            total += (a.data[pa] as number) * (b.data[pb] as number);
          out[(at * m + i) * n + j] = alpha * total;
        }
    return out;
  },
  flops: (inputs, attrs, output) => {
    const [a, b] = inputs as [TensorType, TensorType];
    return mulDims(2, mulDims(sizeOf(output.shape), matmulDims(a, b, attrs).k));
  },
  samples: [
    { inputs: [{ shape: [3, 4] }, { shape: [4, 5] }], attrs: { transA: false, transB: false, alpha: 1 } },
    { inputs: [{ shape: [4, 3] }, { shape: [5, 4] }], attrs: { transA: true, transB: true, alpha: 0.5 } },
    { inputs: [{ shape: [2, 3, 4] }, { shape: [2, 5, 4] }], attrs: { transA: false, transB: true, alpha: 2 } },
    { inputs: [{ shape: [2, 1, 4, 3] }, { shape: [3, 4, 2] }], attrs: { transA: true, transB: false, alpha: 1 } },
    { inputs: [{ shape: [2, 3, 1, 4] }, { shape: [2, 3, 4, 1] }], attrs: { transA: false, transB: false, alpha: 1 } },
    { inputs: [{ shape: [2, 2, 3, 4] }, { shape: [2, 2, 3, 2] }], attrs: { transA: true, transB: false, alpha: 1 } },
    {
      inputs: [{ shape: [2, 3, 0] }, { shape: [2, 4, 0] }],
      attrs: { transA: false, transB: true, alpha: 2 },
      about: "sums of nothing",
    },
    {
      inputs: [{ shape: [0, 3] }, { shape: [3, 4] }],
      attrs: { transA: false, transB: false, alpha: 1 },
      about: "no rows",
    },
  ],
};

/**
 * Matrix product over the last two axes, leading axes broadcast: [..., M, K] x [..., K, N] -> [..., M, N].
 * A rank-2 right operand is applied to all rows at once, so that its gradient is one product too.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const attrs = { transA: options.transA ?? false, transB: options.transB ?? false, alpha: options.alpha ?? 1 };
  if (a.rank > 2 && b.rank === 2 && !attrs.transA) {
    const { n } = matmulDims(a, b, attrs);
    // Not -1, which is open where K is 0.
    const rows = reshape(a, [sizeOf(a.shape.slice(0, -1)), a.shape[a.rank - 1] as Dim]);
    return reshape(makeNode(matmulOp, [rows, b], attrs), [...a.shape.slice(0, -1), n]);
  }
  return makeNode(matmulOp, [a, b], attrs);
}

export const matmulOps: readonly OpDef[] = [matmulOp] as unknown as readonly OpDef[];
