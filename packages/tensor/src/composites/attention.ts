// Scaled dot-product attention (Vaswani et al., 2017) with shared key-value heads (Ainslie et al., "GQA", 2023): head h
// reads key-value head floor(h / G). The G query heads of a group are folded into rows, so keys are never repeated.
// Queries are the last T of S positions: query i sits at S - T + i and, when causal, sees keys 0 .. S - T + i; with a
// window w only the last w of them.
//
// `cachedAttention` is the same over a cache that grows: past keys and values stay in the layout in which they are
// appended ([P, B*Hkv, d], one row per position) and are read in place; only scores are joined.
import { addDims, type Dim, dimEquals, divDims, mulDims, shapeEquals, shapeText, subDims } from "../dim.ts";
import { ShapeError } from "../errors.ts";
import { add, cast, less, logicalOr, where } from "../ops/elementwise.ts";
import { iota } from "../ops/indexing.ts";
import { matmul } from "../ops/matmul.ts";
import { concat, reshape, slice, transpose } from "../ops/shape.ts";
import { type Attrs, makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";
import { softmax } from "./softmax.ts";

/** How scores are scaled and masked. */
export interface AttentionOptions {
  /** Factor on the scores; default 1 / sqrt(dk). */
  readonly scale?: number;
  /** Hide later positions; default true. */
  readonly causal?: boolean;
  /** See only the last `window` positions, the query's own included; default all. */
  readonly window?: number;
}

interface AttentionAttrs extends Attrs {
  readonly scale: number;
  readonly causal: boolean;
  readonly window: number | undefined;
}

/** Finite stand-in for minus infinity: exp underflows to exactly 0, and a fully hidden row stays free of NaN. */
const hidden = -1e30;

/** Additive mask [T, S] of 0 and -1e30, or undefined when every key is visible. */
function visibilityMask(t: Dim, s: Dim, { causal, window }: AttentionAttrs): Tensor | undefined {
  if (!causal && window === undefined) return undefined;
  if (causal && t === 1 && window === undefined) return undefined;
  const query = reshape(add(iota(t), asInt(subDims(s, t))), [t, 1]);
  const key = reshape(iota(s), [1, s]);
  const after = causal ? less(query, key) : undefined;
  const before = window === undefined ? undefined : less(add(key, window - 1), query);
  const ahead = window === undefined || causal ? undefined : less(add(query, window - 1), key);
  const masks = [after, before, ahead].filter((m) => m !== undefined);
  return where(masks.reduce(logicalOr), hidden, 0);
}

/** A dimension as an int32 scalar inside a graph: the last entry of an iota one longer. */
function asInt(d: Dim): Tensor | number {
  return typeof d === "number" ? d : reshape(slice(iota(addDims(d, 1)), 0, d, addDims(d, 1)), []);
}

const groupsOf = (heads: Dim, kvHeads: Dim): number => {
  const groups = divDims(heads, kvHeads);
  if (typeof groups !== "number" || !Number.isInteger(groups) || groups < 1)
    throw new ShapeError(`${heads} query heads do not divide over ${kvHeads} key-value heads`);
  return groups;
};

function checkHeads(q: TensorType, k: TensorType, v: TensorType): void {
  const text = `q ${shapeText(q.shape)}, k ${shapeText(k.shape)}, v ${shapeText(v.shape)}`;
  if (q.shape.length !== 4 || k.shape.length !== 4 || v.shape.length !== 4)
    throw new ShapeError(`${text}: all need rank 4`, "give [B, H, T, d]");
  if (!shapeEquals(k.shape.slice(0, 3), v.shape.slice(0, 3)) || !dimEquals(q.shape[0] as Dim, k.shape[0] as Dim))
    throw new ShapeError(`${text}: batch, heads and positions of keys and values differ`);
  if (!dimEquals(q.shape[3] as Dim, k.shape[3] as Dim)) throw new ShapeError(`${text}: query and key widths differ`);
  groupsOf(q.shape[1] as Dim, k.shape[1] as Dim);
}

/** Adds a [T, S] mask to scores whose rows are (group, query). */
function masked(scores: Tensor, mask: Tensor | undefined, groups: number, t: Dim): Tensor {
  if (!mask) return scores;
  if (groups === 1) return add(scores, mask);
  const s = scores.shape[scores.rank - 1] as Dim;
  const split = reshape(scores, [...scores.shape.slice(0, -2), groups, t, s]);
  return reshape(add(split, mask), scores.shape);
}

const attentionOp: OpDef<AttentionAttrs> = {
  name: "attention",
  infer: (inputs) => {
    const [q, k, v] = inputs as [TensorType, TensorType, TensorType];
    checkHeads(q, k, v);
    return { shape: [...q.shape.slice(0, 3), v.shape[3] as Dim], dtype: q.dtype };
  },
  decompose: (inputs, attrs) => {
    const [q, k, v] = inputs as [Tensor, Tensor, Tensor];
    const [b, h, t, dk] = q.shape as [Dim, Dim, Dim, Dim];
    const [, hkv, s, dv] = v.shape as [Dim, Dim, Dim, Dim];
    const groups = groupsOf(h, hkv);
    const rows = reshape(q, [b, hkv, mulDims(groups, t), dk]);
    const scores = matmul(rows, k, { transB: true, alpha: attrs.scale });
    const p = softmax(masked(scores, visibilityMask(t, s, attrs), groups, t));
    return reshape(matmul(p, v), [b, h, t, dv]);
  },
  flops: (inputs, _attrs, output) => {
    const [q, k] = inputs as [TensorType, TensorType];
    const perScore = mulDims(2, addDims(q.shape[3] as Dim, output.shape[3] as Dim));
    return mulDims(perScore, q.shape.slice(0, 3).reduce<Dim>(mulDims, k.shape[2] as Dim));
  },
  samples: [
    {
      inputs: [{ shape: [2, 2, 3, 4] }, { shape: [2, 2, 3, 4] }, { shape: [2, 2, 3, 5] }],
      attrs: { scale: 0.5, causal: true, window: undefined },
    },
    {
      inputs: [{ shape: [1, 4, 2, 3] }, { shape: [1, 2, 5, 3] }, { shape: [1, 2, 5, 2] }],
      attrs: { scale: 1, causal: true, window: undefined },
      about: "grouped heads, queries at the end",
    },
    {
      inputs: [{ shape: [1, 2, 5, 2] }, { shape: [1, 1, 5, 2] }, { shape: [1, 1, 5, 2] }],
      attrs: { scale: 1, causal: true, window: 2 },
      about: "window",
    },
    {
      inputs: [{ shape: [1, 2, 3, 2] }, { shape: [1, 2, 4, 2] }, { shape: [1, 2, 4, 2] }],
      attrs: { scale: 1, causal: false, window: undefined },
      about: "not causal",
    },
  ],
};

const defaults = (dk: Dim, o: AttentionOptions): AttentionAttrs => ({
  scale: o.scale ?? 1 / Math.sqrt(dk as number),
  causal: o.causal ?? true,
  window: o.window,
});

/** softmax(scale q k^T + mask) v: q [B, H, T, dk], k [B, Hkv, S, dk], v [B, Hkv, S, dv] -> [B, H, T, dv]. */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  return makeNode(attentionOp, [q, k, v], defaults(q.shape[3] as Dim, options));
}

const cachedAttentionOp: OpDef<AttentionAttrs> = {
  name: "cachedAttention",
  infer: (inputs) => {
    const [q, k, v, pastK, pastV] = inputs as [TensorType, TensorType, TensorType, TensorType, TensorType];
    checkHeads(q, k, v);
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
    const [q, k, v, pastK, pastV] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const [b, h, t, dk] = q.shape as [Dim, Dim, Dim, Dim];
    const [, hkv, , dv] = v.shape as [Dim, Dim, Dim, Dim];
    const past = pastK.shape[0] as Dim;
    const total = addDims(past, t);
    const groups = groupsOf(h, hkv);
    const heads = mulDims(b, hkv);
    const rows = reshape(q, [heads, mulDims(groups, t), dk]);
    const before = matmul(rows, transpose(cast(pastK, q.dtype), [1, 2, 0]), { alpha: attrs.scale });
    const now = matmul(rows, reshape(k, [heads, t, dk]), { transB: true, alpha: attrs.scale });
    const mask = visibilityMask(t, total, attrs);
    const p = softmax(masked(concat([before, now], 2), mask, groups, t));
    const y = add(
      matmul(slice(p, 2, 0, past), transpose(cast(pastV, q.dtype), [1, 0, 2])),
      matmul(slice(p, 2, past, total), reshape(v, [heads, t, dv])),
    );
    return reshape(y, [b, h, t, dv]);
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
      attrs: { scale: 1, causal: true, window: undefined },
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
      attrs: { scale: 0.7, causal: true, window: 3 },
      about: "several new positions, window",
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
  return makeNode(cachedAttentionOp, [q, k, v, pastK, pastV], defaults(q.shape[3] as Dim, options));
}

/** New keys or values [B, Hkv, T, d] as cache rows [T, B*Hkv, d]. */
export function toCacheRows(x: Tensor): Tensor {
  const [b, h, t, d] = x.shape as [Dim, Dim, Dim, Dim];
  return reshape(transpose(x, [2, 0, 1, 3]), [t, mulDims(b, h), d]);
}

export const attentionOps: readonly OpDef[] = [attentionOp, cachedAttentionOp] as unknown as readonly OpDef[];
