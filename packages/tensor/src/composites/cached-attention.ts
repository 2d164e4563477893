// Attention over a cache that grows: past keys and values stay in the layout in which they are appended ([P, B*Hkv, d],
// one row per position) and are read in place; only scores are joined: [sinks, past, new]. See attention.ts.
import { addDims, type Dim, dimEquals, mulDims, shapeEquals, shapeText } from "../dim.ts";
import { ShapeError } from "../errors.ts";
import { add, cast } from "../ops/elementwise.ts";
import { matmul } from "../ops/matmul.ts";
import { concat, reshape, slice, transpose } from "../ops/shape.ts";
import { makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";
import { visibilityMask } from "./attention-mask.ts";
import {
  type AttentionAttrs,
  type AttentionOptions,
  attrsOf,
  checkHeads,
  checkOptions,
  checkSinks,
  everySequence,
  groupsOf,
  masked,
  plain,
  productFlops,
  sinkInputs,
} from "./attention-parts.ts";
import { softmax } from "./softmax.ts";

export const cachedAttentionOp: OpDef<AttentionAttrs> = {
  name: "cachedAttention",
  infer: (inputs, attrs) => {
    const { sinks } = attrs;
    const [q, k, v, pastK, pastV, ...more] = inputs as [
      TensorType,
      TensorType,
      TensorType,
      TensorType,
      TensorType,
      ...TensorType[],
    ];
    checkOptions(attrs);
    checkHeads(q, k, v);
    if (!dimEquals(q.shape[2] as Dim, k.shape[2] as Dim))
      throw new ShapeError(
        `${q.shape[2]} queries with ${k.shape[2]} new keys`,
        "each new position has a query and a key; what came before is in the cache",
      );
    if (sinks > 0) checkSinks(q, v, more[0], more[1]);
    const rows = mulDims(k.shape[0] as Dim, k.shape[1] as Dim);
    for (const [past, fresh] of [
      [pastK, k],
      [pastV, v],
    ] as const)
      if (past.shape.length !== 3 || !shapeEquals(past.shape.slice(1), [rows, fresh.shape[3] as Dim]))
        throw new ShapeError(
          `a cache ${shapeText(past.shape)} does not fit new rows ${shapeText(fresh.shape)}`,
          "caches are [P, B*Hkv, d]",
        );
    if (!dimEquals(pastK.shape[0] as Dim, pastV.shape[0] as Dim)) throw new ShapeError("caches differ in length");
    return { shape: [...q.shape.slice(0, 3), v.shape[3] as Dim], dtype: q.dtype };
  },
  decompose: (inputs, attrs) => {
    const [q, k, v, pastK, pastV, ...more] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor, ...Tensor[]];
    const [b, h, t, dk] = q.shape as [Dim, Dim, Dim, Dim];
    const [, hkv, , dv] = v.shape as [Dim, Dim, Dim, Dim];
    const past = pastK.shape[0] as Dim;
    const total = addDims(past, t);
    const groups = groupsOf(h, hkv);
    const heads = mulDims(b, hkv);
    const rows = reshape(q, [heads, mulDims(groups, t), dk]);
    const before = matmul(rows, transpose(cast(pastK, q.dtype), [1, 2, 0]), { alpha: attrs.scale });
    const now = matmul(rows, reshape(k, [heads, t, dk]), { transB: true, alpha: attrs.scale });
    const { sinks } = attrs;
    const sink = (i: number, d: Dim) => reshape(everySequence(more[i] as Tensor, b), [heads, sinks, d]);
    const aside = sinks > 0 ? [matmul(rows, sink(0, dk), { transB: true, alpha: attrs.scale })] : [];
    const mask = visibilityMask(t, total, attrs, sinks);
    const p = softmax(masked(concat([...aside, before, now], 2), mask, groups, t));
    const [from, to] = [addDims(past, sinks), addDims(total, sinks)];
    const positioned = add(
      matmul(slice(p, 2, sinks, from), transpose(cast(pastV, q.dtype), [1, 0, 2])),
      matmul(slice(p, 2, from, to), reshape(v, [heads, t, dv])),
    );
    const y = sinks > 0 ? add(positioned, matmul(slice(p, 2, 0, sinks), sink(1, dv))) : positioned;
    return reshape(y, [b, h, t, dv]);
  },
  flops: (inputs, { sinks }, output) => {
    const [q, k, , past] = inputs as [TensorType, TensorType, TensorType, TensorType];
    return productFlops(q, output, [k.shape[2] as Dim, sinks].reduce<Dim>(addDims, past.shape[0] as Dim));
  },
  samples: [
    {
      inputs: [
        { shape: [1, 4, 1, 3] },
        { shape: [1, 2, 1, 3] },
        { shape: [1, 2, 1, 2] },
        { shape: [5, 2, 3] },
        { shape: [5, 2, 2] },
      ],
      attrs: { ...plain, scale: 1 },
      about: "one new position",
    },
    {
      inputs: [
        { shape: [2, 4, 3, 3] },
        { shape: [2, 2, 3, 3] },
        { shape: [2, 2, 3, 2] },
        { shape: [4, 4, 3] },
        { shape: [4, 4, 2] },
      ],
      attrs: { ...plain, scale: 0.7, window: 3 },
      about: "several new positions, window",
    },
    {
      inputs: [
        { shape: [2, 4, 3, 3] },
        { shape: [2, 2, 3, 3] },
        { shape: [2, 2, 3, 2] },
        { shape: [4, 4, 3] },
        { shape: [4, 4, 2] },
        { shape: [2, 2, 3] },
        { shape: [2, 2, 2] },
      ],
      attrs: { ...plain, scale: 0.7, window: 3, sinks: 2 },
      about: "several new positions, window, sinks",
    },
  ],
};

/**
 * Attention of T new positions over P cached ones and themselves: q [B, H, T, dk], k [B, Hkv, T, dk],
 * v [B, Hkv, T, dv], pastK [P, B*Hkv, dk], pastV [P, B*Hkv, dv] -> [B, H, T, dv].
 */
export function cachedAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  pastK: Tensor,
  pastV: Tensor,
  options: AttentionOptions = {},
): Tensor {
  return makeNode(
    cachedAttentionOp,
    [q, k, v, pastK, pastV, ...sinkInputs(options)],
    attrsOf(q.shape[3] as Dim, options),
  );
}

/** New keys or values [B, Hkv, T, d] as cache rows [T, B*Hkv, d]. */
export function toCacheRows(x: Tensor): Tensor {
  const [b, h, t, d] = x.shape as [Dim, Dim, Dim, Dim];
  return reshape(transpose(x, [2, 0, 1, 3]), [t, mulDims(b, h), d]);
}
