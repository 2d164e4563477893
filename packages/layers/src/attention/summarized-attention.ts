// Attention that sees a window of keys and, beyond it, one summary per block. A query at q has F = q - w + 1 positions
// beyond its window w: floor(F / m) whole blocks, and F mod m positions that make a shorter one.
//
// n keys that all score s - log n weigh together what one key of score s does, and share that equally: they contribute the
// mean of their values. So a summary need not be a key of its own. Far keys keep their places and get the score of their
// block's mean, less log n. For whole blocks that is a product with the means; for the shorter one, whose extent differs
// from query to query, it is the mean of its scores, which is the same (and cheaper for all blocks of a single query). A matrix on summaries acts on queries and on
// summed values instead. Hence lengths may be symbolic, no query costs more than two or three products of scores, and what
// it sees depends on its position alone: pieces over a cache give what the whole sequence gives.
//
// Rows are [S, B*Hkv, d], as caches have them. The idea of a pooled far past: Rae et al., "Compressive Transformers"
// (2020); with blocks on a fixed grid, and in this form, this project's.
import {
  type AttentionOptions,
  add,
  addDims,
  broadcastTo,
  cast,
  concat,
  type Dim,
  div,
  divDims,
  dropout as drop,
  greaterEqual,
  iota,
  less,
  lessEqual,
  log,
  logicalAnd,
  matmul,
  maximum,
  mul,
  mulDims,
  reshape,
  slice,
  softmax,
  sub,
  subDims,
  sum,
  type Tensor,
  toCacheRows,
  transpose,
  type UncachedAttentionOptions,
  type Variable,
  where,
} from "@caramba/tensor";
import { blockMeans, convolved, floorDiv, type Summaries } from "./summaries.ts";

/** Keys and values of all positions. */
interface Rows {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** What attention over summaries is told; it is causal. */
export interface SummaryOptions extends Omit<AttentionOptions, "causal"> {
  readonly scale: number;
  readonly window: number;
  /** Zeroes weights of positions, which in a summary are its members. */
  readonly dropout?: UncachedAttentionOptions["dropout"];
}

interface Operands extends Rows {
  readonly q: Tensor;
  /** Rows as they enter a mean. */
  readonly far: Rows;
  /** For every key, the mean of its block; null where means are taken of scores. */
  readonly means: Tensor | null;
  readonly options: SummaryOptions;
}

/** Finite stand-in for minus infinity. */
const hidden = -1e30;

/**
 * q [B, H, T, dk] of the newest T positions, k [B, Hkv, T, dk], v [B, Hkv, T, dv] and what a cache holds of earlier ones
 * -> [B, H, T, dv]; by blocks of `chunk` queries where all lengths are numbers.
 */
export function summarizedAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  past: Rows | null,
  summaries: Summaries,
  options: SummaryOptions,
  chunk: number | null,
): Tensor {
  const join = (old: Tensor | undefined, x: Tensor): Tensor =>
    old ? concat([cast(old, x.dtype), toCacheRows(x)], 0) : toCacheRows(x);
  const rows: Rows = { k: join(past?.k, k), v: join(past?.v, v) };
  const { method, block } = summaries;
  const far =
    method === "conv"
      ? { k: convolved(rows.k, weightOf(summaries, "mem_k")), v: convolved(rows.v, weightOf(summaries, "mem_v")) }
      : rows;
  const [t, s] = [q.shape[2] as Dim, rows.k.shape[0] as Dim];
  const whole: Operands = { q, ...rows, far, means: t === 1 ? null : blockMeans(far.k, block), options };
  if (chunk === null || typeof t !== "number" || typeof s !== "number" || t <= chunk) return attend(whole, summaries);
  const parts: Tensor[] = [];
  for (let from = 0; from < t; from += chunk) {
    const to = Math.min(t, from + chunk);
    parts.push(attend(section(whole, from, to, s - t + to), summaries));
  }
  return concat(parts, 2);
}

const weightOf = ({ weights }: Summaries, name: string): Tensor => (weights.get(name) as Variable).tensor;

/** Queries from .. to over the first `seen` rows. */
function section({ q, k, v, far, means, options }: Operands, from: number, to: number, seen: number): Operands {
  const cut = (x: Tensor): Tensor => slice(x, 0, 0, seen);
  const { dropout, sinks } = options;
  const columns = seen + ((sinks?.k.shape[1] ?? 0) as number);
  return {
    q: slice(q, 2, from, to),
    k: cut(k),
    v: cut(v),
    far: { k: cut(far.k), v: cut(far.v) },
    means: means && cut(means),
    options: {
      ...options,
      ...(dropout
        ? { dropout: { ...dropout, uniform: slice(slice(dropout.uniform, 2, from, to), 3, 0, columns) } }
        : {}),
    },
  };
}

function attend({ q, k, v, far, means, options }: Operands, summaries: Summaries): Tensor {
  const { scale, sinks, dropout } = options;
  const [b, h, t, dk] = q.shape as [Dim, Dim, Dim, Dim];
  const [s, heads, dv] = v.shape as [Dim, Dim, Dim];
  const hkv = divDims(heads, b) as Dim;
  const groups = divDims(h, hkv) as Dim;
  const [flat, split] = [mulDims(groups, t), (width: Dim): Dim[] => [heads, groups, t, width]];
  const queries = reshape(q, [heads, flat, dk]);
  const score = (x: Tensor, rows: Tensor): Tensor =>
    reshape(matmul(x, transpose(rows, [1, 2, 0]), { alpha: scale }), split(s));
  const linear = summaries.method === "linear";
  const asking = linear ? matmul(queries, weightOf(summaries, "mem_k"), { transB: true }) : queries;
  const near = score(queries, k);
  const single = asking === queries && far.k === k ? near : score(asking, far.k);
  const seen = whatIsSeen(t, s, options.window, summaries);
  const rest = div(sum(where(seen.rest, single, 0), [3], true), seen.restSize);
  const scores = where(
    seen.blocks,
    sub(means ? score(asking, means) : meanScores(single, summaries.block), Math.log(summaries.block)),
    where(seen.rest, sub(rest, log(seen.restSize)), where(seen.near, near, hidden)),
  );

  const n = (sinks?.k.shape[1] ?? 0) as number;
  const sink = (x: Tensor, width: Dim): Tensor =>
    reshape(broadcastTo(reshape(x, [1, ...x.shape]), [b, ...x.shape]), [heads, n, width]);
  const aside = sinks ? [reshape(matmul(queries, sink(sinks.k, dk), { transB: true, alpha: scale }), split(n))] : [];
  const all = addDims(s, n);
  const weights = softmax(concat([...aside, scores], 3));
  const p = dropout ? drop(weights, reshape(dropout.uniform, split(all)), dropout.p) : weights;
  const positioned = n > 0 ? slice(p, 3, n, all) : p;
  const values = (weight: Tensor, rows: Tensor): Tensor =>
    matmul(reshape(weight, [heads, flat, s]), transpose(rows, [1, 0, 2]));
  let y: Tensor;
  if (summaries.method === "mean") y = values(positioned, v);
  else {
    const summed = values(where(seen.near, 0, positioned), far.v);
    y = add(values(where(seen.near, positioned, 0), v), linear ? matmul(summed, weightOf(summaries, "mem_v")) : summed);
  }
  if (sinks) y = add(y, matmul(reshape(slice(p, 3, 0, n), [heads, flat, n]), sink(sinks.v, dv)));
  return reshape(y, [b, h, t, dv]);
}

/** For every key, the mean score of its block: [..., S]. */
function meanScores(scores: Tensor, block: number): Tensor {
  return transpose(blockMeans(transpose(scores, [3, 0, 1, 2]), block), [1, 2, 3, 0]);
}

interface Seen {
  /** Keys in the window, [T, S]. */
  readonly near: Tensor;
  /** Keys in whole blocks beyond it. */
  readonly blocks: Tensor;
  /** Keys in the shorter block between. */
  readonly rest: Tensor;
  /** Positions of that block, at least 1, [T, 1] of floats. */
  readonly restSize: Tensor;
}

function whatIsSeen(t: Dim, s: Dim, window: number, { block, threshold }: Summaries): Seen {
  const key = reshape(iota(s), [1, s]);
  const query = reshape(slice(iota(s), 0, subDims(s, t), s), [t, 1]);
  const inWindow = logicalAnd(lessEqual(key, query), less(query, add(key, window)));
  // Positions beyond the window; none before the threshold.
  const beyond = where(less(query, threshold - 1), 0, maximum(sub(query, window - 1), 0));
  const summed = mul(floorDiv(beyond, block), block);
  return {
    near: inWindow,
    blocks: less(key, summed),
    rest: logicalAnd(greaterEqual(key, summed), less(key, beyond)),
    restSize: maximum(cast(sub(beyond, summed), "float32"), 1),
  };
}
