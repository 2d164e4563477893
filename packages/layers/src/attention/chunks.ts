// Attention in blocks of queries (q_chunk). A block scores only the keys that it can see, so the largest matrix of scores
// is [c, S] instead of [T, S], and a causal layer computes about half of the products. The result is the same. Blocks are
// laid out when the graph is built, so the number of tokens must be known then: in training and evaluation it is; a
// prompt of any length is cut into pieces by who feeds it.
import {
  type AttentionSinks,
  addDims,
  attention,
  concat,
  type Dim,
  slice,
  type Tensor,
  type UncachedAttentionOptions,
} from "@caramba/tensor";

/** As `attention` of @caramba/tensor, by blocks of `chunk` queries; in one block where T or S is not a number. */
export function chunkedAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: UncachedAttentionOptions,
  chunk: number | null,
): Tensor {
  const t = q.shape[2] as Dim;
  const s = k.shape[2] as Dim;
  if (chunk === null || typeof t !== "number" || typeof s !== "number" || t <= chunk)
    return attention(q, k, v, options);
  const { causal = true, window } = options;
  const blocks: Tensor[] = [];
  for (let from = 0; from < t; from += chunk) {
    const to = Math.min(t, from + chunk);
    // Positions of this block's queries among the keys: first up to before next.
    const [first, next] = [s - t + from, s - t + to];
    const low = window === undefined ? 0 : Math.max(0, first - window + 1);
    const reach = window === undefined ? s : Math.min(s, next - 1 + window);
    const high = causal ? next : reach;
    const keys = (x: Tensor) => slice(x, 2, low, high);
    const { dropout, sinks } = options;
    blocks.push(
      attention(slice(q, 2, from, to), keys(k), keys(v), {
        ...options,
        first: first - low,
        ...(dropout ? { dropout: { ...dropout, uniform: seenBy(dropout.uniform, sinks, from, to, low, high) } } : {}),
      }),
    );
  }
  return concat(blocks, 2);
}

/** Of uniform numbers [B, H, T, N + S], those of queries from .. to and of the sinks and keys low .. high. */
function seenBy(
  uniform: Tensor,
  sinks: AttentionSinks | undefined,
  from: number,
  to: number,
  low: number,
  high: number,
): Tensor {
  const n = sinks?.k.shape[1] ?? 0;
  const rows = slice(uniform, 2, from, to);
  if (low === 0) return slice(rows, 3, 0, addDims(n, high));
  const keys = slice(rows, 3, addDims(n, low), addDims(n, high));
  return n === 0 ? keys : concat([slice(rows, 3, 0, n), keys], 3);
}
