// What attention with and without a cache share: options, checks of shapes, grouped heads, sinks.
import { addDims, type Dim, dimEquals, divDims, mulDims, shapeEquals, shapeText } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { add } from "../ops/elementwise.ts";
import { broadcastTo, reshape } from "../ops/shape.ts";
import type { Attrs, Tensor, TensorType } from "../tensor.ts";

/** How scores are scaled and masked. */
export interface AttentionOptions {
  /** Factor on the scores; default 1 / sqrt(dk), for which dk must be known. */
  readonly scale?: number;
  /** Hide later positions; default true. */
  readonly causal?: boolean;
  /** See only positions nearer than `window`, at least 1: the query's own is one of them; default all. */
  readonly window?: number;
  /** Keys [Hkv, N, dk] and values [Hkv, N, dv] without positions that every query sees; default none. */
  readonly sinks?: AttentionSinks;
}

/** What only attention without a cache knows. */
export interface UncachedAttentionOptions extends AttentionOptions {
  /** Position of the first query among the keys; default S - T. */
  readonly first?: number;
  /** Zeroes weights where `uniform` [B, H, T, N + S] is below `p`, from 0 to 1, and scales the others by 1 / (1 - p); default none. */
  readonly dropout?: { readonly p: number; readonly uniform: Tensor };
}

/** Keys [Hkv, N, dk] and values [Hkv, N, dv], the same for every sequence. */
export interface AttentionSinks {
  readonly k: Tensor;
  readonly v: Tensor;
}

// Inputs: q, k, v, [past k, past v,] [sink k, sink v,] [uniform]; the attributes say which of them are there.
export interface AttentionAttrs extends Attrs {
  readonly scale: number;
  readonly causal: boolean;
  readonly window: number | undefined;
  readonly first: number | undefined;
  /** Number of sinks. */
  readonly sinks: number;
  /** Probability of dropout. */
  readonly dropout: number;
}

/** Query heads per key-value head. */
export const groupsOf = (heads: Dim, kvHeads: Dim): number => {
  const groups = divDims(heads, kvHeads);
  if (typeof groups !== "number" || !Number.isInteger(groups) || groups < 1)
    throw new ShapeError(`${heads} query heads do not divide over ${kvHeads} key-value heads`);
  return groups;
};

/** Demands numbers that mean something: with others a query would see nothing, or what it must not. */
export function checkOptions({ scale, window, first, sinks, dropout }: AttentionAttrs): void {
  const refuse = (what: string, remedy: string): never => {
    throw new ShapeError(what, remedy);
  };
  if (!Number.isFinite(scale))
    refuse(`the scale of scores is ${scale}`, "give a scale where the width of keys is open");
  if (!Number.isInteger(sinks)) refuse(`the number of sinks is ${sinks}`, "give sinks of a known number");
  if (window !== undefined && !(Number.isInteger(window) && window >= 1))
    refuse(`a window of ${window} positions`, "give an integer of at least 1");
  if (first !== undefined && !Number.isInteger(first)) refuse(`first is ${first}`, "give an integer");
  if (!(dropout >= 0 && dropout <= 1)) refuse(`dropout with probability ${dropout}`, "give one from 0 to 1");
}

/** Demands heads that fit each other. */
export function checkHeads(q: TensorType, k: TensorType, v: TensorType): void {
  const text = `q ${shapeText(q.shape)}, k ${shapeText(k.shape)}, v ${shapeText(v.shape)}`;
  if (q.shape.length !== 4 || k.shape.length !== 4 || v.shape.length !== 4)
    throw new ShapeError(`${text}: all need rank 4`, "give [B, H, T, d]");
  if (!shapeEquals(k.shape.slice(0, 3), v.shape.slice(0, 3)) || !dimEquals(q.shape[0] as Dim, k.shape[0] as Dim))
    throw new ShapeError(`${text}: batch, heads and positions of keys and values differ`);
  if (!dimEquals(q.shape[3] as Dim, k.shape[3] as Dim)) throw new ShapeError(`${text}: query and key widths differ`);
  if (!isFloat(q.dtype) || k.dtype !== q.dtype || v.dtype !== q.dtype)
    throw new ShapeError(`q, k and v have dtypes ${q.dtype}, ${k.dtype} and ${v.dtype}`, "cast all to float32");
  groupsOf(q.shape[1] as Dim, k.shape[1] as Dim);
}

/** Demands sinks that fit the heads. */
export function checkSinks(q: TensorType, v: TensorType, k0: TensorType | undefined, v0: TensorType | undefined): void {
  if (!k0 || !v0) throw new ShapeError("sinks need keys and values");
  const fits = (sink: TensorType, width: Dim) =>
    shapeEquals(sink.shape, [v.shape[1] as Dim, k0.shape[1] as Dim, width]) && sink.dtype === q.dtype;
  if (!fits(k0, q.shape[3] as Dim) || !fits(v0, v.shape[3] as Dim))
    throw new ShapeError(
      `sinks ${shapeText(k0.shape)}, ${shapeText(v0.shape)} do not fit q ${shapeText(q.shape)}, v ${shapeText(v.shape)}`,
      "sinks are [Hkv, N, d]",
    );
}

/** Sinks [Hkv, N, d] for every sequence, as [B, Hkv, N, d]. */
export const everySequence = (sink: Tensor, b: Dim): Tensor =>
  broadcastTo(reshape(sink, [1, ...sink.shape]), [b, ...sink.shape]);

/** Adds a [T, S] mask to scores whose rows are (group, query). */
export function masked(scores: Tensor, mask: Tensor | undefined, groups: number, t: Dim): Tensor {
  if (!mask) return scores;
  if (groups === 1) return add(scores, mask);
  const s = scores.shape[scores.rank - 1] as Dim;
  const split = reshape(scores, [...scores.shape.slice(0, -2), groups, t, s]);
  return reshape(add(split, mask), scores.shape);
}

/** Both products: scores of every query and key, and weighted values. */
export function productFlops(q: TensorType, output: TensorType, keys: Dim): Dim {
  const perScore = mulDims(2, addDims(q.shape[3] as Dim, output.shape[3] as Dim));
  return mulDims(perScore, q.shape.slice(0, 3).reduce<Dim>(mulDims, keys));
}

/** Attributes of samples, less the scale. */
export const plain: Pick<AttentionAttrs, "causal" | "window" | "first" | "sinks" | "dropout"> = {
  causal: true,
  window: undefined,
  first: undefined,
  sinks: 0,
  dropout: 0,
};

/** Options as attributes; dk is the width of a key. */
export const attrsOf = (dk: Dim, o: UncachedAttentionOptions): AttentionAttrs => ({
  scale: o.scale ?? 1 / Math.sqrt(dk as number),
  causal: o.causal ?? true,
  window: o.window,
  first: o.first,
  sinks: (o.sinks?.k.shape[1] ?? 0) as number,
  dropout: o.dropout?.p ?? 0,
});

/** Sinks among an op's inputs. */
export const sinkInputs = ({ sinks }: AttentionOptions): Tensor[] =>
  sinks && sinks.k.shape[1] !== 0 ? [sinks.k, sinks.v] : [];
