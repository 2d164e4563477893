// Scaled dot-product attention (Vaswani et al., 2017) with shared key-value heads (Ainslie et al., "GQA", 2023): head h
// reads key-value head floor(h / G). The G query heads of a group are folded into rows, so keys are never repeated.
// Which keys a query sees is in attention-mask.ts: the last T of S positions are queries; causal order and windows.
//
// Sinks (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2023) are further keys and values that
// belong to no position and that every query sees, such as a learned null key: scores are [sinks, keys].
import { addDims, type Dim, mulDims, shapeEquals, shapeText } from "../dim.ts";
import { ShapeError } from "../errors.ts";
import { matmul } from "../ops/matmul.ts";
import { concat, reshape } from "../ops/shape.ts";
import { makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";
import { visibilityMask } from "./attention-mask.ts";
import {
  type AttentionAttrs,
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
  type UncachedAttentionOptions,
} from "./attention-parts.ts";
import { dropout as drop } from "./dropout.ts";
import { softmax } from "./softmax.ts";

export const attentionOp: OpDef<AttentionAttrs> = {
  name: "attention",
  infer: (inputs, attrs) => {
    const [q, k, v, ...more] = inputs as [TensorType, TensorType, TensorType, ...TensorType[]];
    const { sinks, dropout, first, causal, window } = attrs;
    checkOptions(attrs);
    checkHeads(q, k, v);
    if (sinks > 0) checkSinks(q, v, more[0], more[1]);
    const [b, h, t, s] = [...q.shape.slice(0, 3), k.shape[2]] as [Dim, Dim, Dim, Dim];
    const uniform = dropout > 0 ? more[sinks > 0 ? 2 : 0] : undefined;
    if (dropout > 0 && !(uniform && shapeEquals(uniform.shape, [b, h, t, addDims(s, sinks)])))
      throw new ShapeError(`dropout needs uniform numbers ${shapeText([b, h, t, addDims(s, sinks)])}`);
    // A query before the first key would see nothing, and softmax would give it the mean of everything.
    const positioned = first !== undefined || causal || window !== undefined;
    if (positioned && typeof t === "number" && typeof s === "number") {
      const from = first ?? s - t;
      if (!(from >= 0 && from + t <= s))
        throw new ShapeError(
          `queries ${from} .. ${from + t - 1} do not lie among ${s} positions`,
          "give as many keys as queries, or more",
        );
    }
    return { shape: [...q.shape.slice(0, 3), v.shape[3] as Dim], dtype: q.dtype };
  },
  decompose: (inputs, attrs) => {
    const [q, fresh, freshV, ...more] = inputs as [Tensor, Tensor, Tensor, ...Tensor[]];
    const [b, h, t, dk] = q.shape as [Dim, Dim, Dim, Dim];
    const [, hkv, s, dv] = freshV.shape as [Dim, Dim, Dim, Dim];
    const { sinks, dropout } = attrs;
    const join = (sink: Tensor, x: Tensor) => concat([everySequence(sink, b), x], 2);
    const [k, v] = sinks > 0 ? [join(more[0] as Tensor, fresh), join(more[1] as Tensor, freshV)] : [fresh, freshV];
    const groups = groupsOf(h, hkv);
    const rows = reshape(q, [b, hkv, mulDims(groups, t), dk]);
    const scores = matmul(rows, k, { transB: true, alpha: attrs.scale });
    const p = softmax(masked(scores, visibilityMask(t, s, attrs, sinks), groups, t));
    // Rows (group, query) of a group's heads lie as the heads themselves do.
    const kept = dropout > 0 ? drop(p, reshape(more[sinks > 0 ? 2 : 0] as Tensor, p.shape), dropout) : p;
    return reshape(matmul(kept, v), [b, h, t, dv]);
  },
  flops: (inputs, { sinks }, output) => {
    const [q, k] = inputs as [TensorType, TensorType];
    return productFlops(q, output, addDims(k.shape[2] as Dim, sinks));
  },
  samples: [
    {
      inputs: [{ shape: [2, 2, 3, 4] }, { shape: [2, 2, 3, 4] }, { shape: [2, 2, 3, 5] }],
      attrs: { ...plain, scale: 0.5 },
    },
    {
      inputs: [{ shape: [1, 4, 2, 3] }, { shape: [1, 2, 5, 3] }, { shape: [1, 2, 5, 2] }],
      attrs: { ...plain, scale: 1 },
      about: "grouped heads, queries at the end",
    },
    {
      inputs: [{ shape: [1, 2, 5, 2] }, { shape: [1, 1, 5, 2] }, { shape: [1, 1, 5, 2] }],
      attrs: { ...plain, scale: 1, window: 2 },
      about: "window",
    },
    {
      inputs: [{ shape: [1, 2, 3, 2] }, { shape: [1, 2, 4, 2] }, { shape: [1, 2, 4, 2] }],
      attrs: { ...plain, scale: 1, causal: false },
      about: "not causal",
    },
    {
      inputs: [{ shape: [1, 2, 2, 2] }, { shape: [1, 2, 5, 2] }, { shape: [1, 2, 5, 2] }],
      attrs: { ...plain, scale: 1, causal: false, window: 2, first: 1 },
      about: "not causal, window, queries in the middle",
    },
    {
      inputs: [
        { shape: [2, 4, 4, 2] },
        { shape: [2, 2, 4, 2] },
        { shape: [2, 2, 4, 3] },
        { shape: [2, 1, 2] },
        { shape: [2, 1, 3] },
        { shape: [2, 4, 4, 5], low: 0, high: 1, fixed: true },
      ],
      attrs: { ...plain, scale: 1, window: 2, sinks: 1, dropout: 0.4 },
      about: "sink, window, dropout",
    },
  ],
};

/** softmax(scale q k^T + mask) v: q [B, H, T, dk], k [B, Hkv, S, dk], v [B, Hkv, S, dv] -> [B, H, T, dv]. */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: UncachedAttentionOptions = {}): Tensor {
  const inputs = [q, k, v, ...sinkInputs(options), ...(options.dropout?.p ? [options.dropout.uniform] : [])];
  return makeNode(attentionOp, inputs, attrsOf(q.shape[3] as Dim, options));
}
