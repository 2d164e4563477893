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
  cast,
  type Dim,
  div,
  gather,
  type Initializer,
  iota,
  mul,
  pad,
  reshape,
  scatterAdd,
  slice,
  type Tensor,
  Variable,
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

/** Rows [S, ...] of which each is its block's mean. The last block's is too small where the block is not full. */
export function blockMeans(rows: Tensor, block: number): Tensor {
  const s = rows.shape[0] as Dim;
  const index = floorDiv(iota(s), block);
  // No more blocks than rows: how many there are is no polynomial of a length that is left open.
  const blocks = typeof s === "number" ? Math.ceil(s / block) : s;
  return mul(gather(scatterAdd(blocks, index, rows), index), 1 / block);
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
