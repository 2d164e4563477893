// Summaries of the far past (mem_block m, with a local window): the keys and values of a block of m positions become one
// of each. Blocks lie at 0, m, 2m, ... All heads share what is learned.
//
//   mean     the mean of the block's rows
//   linear   that times a matrix, the identity at the start
//   conv     the mean of c_0 x_(j-1) + c_1 x_j + c_2 x_(j+1), per feature, [1/4, 1/2, 1/4] at the start; x is 0 beyond the
//            ends, and a neighbour may belong to the next block
//
// How queries attend to them is in summarized-attention.ts.
import { type AttentionLayerConfig, attentionGeometry } from "@caramba/config";
import {
  add,
  addDims,
  broadcastTo,
  cast,
  type Dim,
  div,
  gather,
  type Initializer,
  iota,
  less,
  mean,
  minimum,
  mul,
  pad,
  reshape,
  slice,
  sub,
  subDims,
  type Tensor,
  Variable,
  where,
} from "@caramba/tensor";

/** How the far past is summarised. */
export interface Summaries {
  /** Positions of a block. */
  readonly block: number;
  /** Queries with fewer keys than this, their own included, see their window only. */
  readonly threshold: number;
  readonly method: AttentionLayerConfig["memSummarize"];
  /** `mem_k` and `mem_v` by name: [d, d] for linear, [3, d] for conv; none for mean. */
  readonly weights: ReadonlyMap<string, Variable>;
}

const identity: Initializer = ([n = 0]) => Float32Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0));

const smoothing: Initializer = ([, width = 0]) =>
  Float32Array.from({ length: 3 * width }, (_, i) => (Math.floor(i / width) === 1 ? 0.5 : 0.25));

/** A config's summaries with their variables; null without mem_block. */
export function buildSummaries(config: AttentionLayerConfig): Summaries | null {
  const { memBlock: block, memSummarize: method, memActivationThreshold } = config;
  if (block === null) return null;
  const { headDim, vHeadDim } = attentionGeometry(config);
  const conv = method === "conv";
  // Weight decay would pull the identity towards no summary at all.
  const make = (name: string, width: number): [string, Variable] => [
    name,
    new Variable(name, [conv ? 3 : width, width], { init: conv ? smoothing : identity, decays: false }),
  ];
  const weights = new Map(method === "mean" ? [] : [make("mem_k", headDim), make("mem_v", vHeadDim)]);
  return { block, threshold: memActivationThreshold ?? 0, method, weights };
}

/** floor(x / m) of whole numbers x >= 0. Half of one keeps quotients off the whole numbers, so that no rounding matters. */
export function floorDiv(x: Tensor, m: number): Tensor {
  return cast(div(add(cast(x, "float32"), 0.5), m), "int32");
}

/** Rows [S, ...] of which each is its block's mean; rows of a last block that is not full mean nothing. */
export function blockMeans(rows: Tensor, block: number): Tensor {
  const s = rows.shape[0] as Dim;
  return typeof s === "number" ? meansOfKnown(rows, s, block) : meansOfOpen(rows, s, block);
}

/** A length that is known is cut into blocks. */
function meansOfKnown(rows: Tensor, s: number, block: number): Tensor {
  const [count, rest] = [Math.ceil(s / block), rows.shape.slice(1)];
  const blocks = reshape(pad(rows, 0, 0, count * block - s), [count, block, ...rest]);
  const means = broadcastTo(mean(blocks, [1], true), blocks.shape);
  return slice(reshape(means, [count * block, ...rest]), 0, 0, s);
}

/**
 * How many blocks an open length S has is no polynomial of it. Sums of the rows of a block so far, by doubling (Hillis and
 * Steele, 1986), and of these the one at the block's end.
 */
function meansOfOpen(rows: Tensor, s: Dim, block: number): Tensor {
  const at = iota(s);
  const start = mul(floorDiv(at, block), block);
  const place = reshape(sub(at, start), [s, ...rows.shape.slice(1).map(() => 1)]);
  let sums = rows;
  for (let step = 1; step < block; step *= 2) {
    const earlier = slice(pad(sums, 0, step, 0), 0, 0, s);
    sums = add(sums, where(less(place, step), 0, earlier));
  }
  const end = minimum(add(start, block - 1), slice(at, 0, subDims(s, 1), s));
  return mul(gather(sums, end), 1 / block);
}

/** c_0 x_(j-1) + c_1 x_j + c_2 x_(j+1) of rows [S, ..., d], c [3, d]. */
export function convolved(rows: Tensor, kernel: Tensor): Tensor {
  const [s, ...rest] = rows.shape as [Dim, ...Dim[]];
  const padded = pad(rows, 0, 1, 1);
  const taps = [0, 1, 2].map((i) =>
    mul(slice(padded, 0, i, addDims(s, i)), reshape(slice(kernel, 0, i, i + 1), [rest.at(-1) as Dim])),
  );
  return taps.reduce(add);
}
