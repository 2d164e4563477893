// Which keys a query sees, as a mask that is added to scores. Keys sit at positions 0 .. S-1 and query i at first + i
// (default first = S - T: queries are the newest positions, past ones being cached). Causal: key <= query. Window w:
// |query - key| < w. Sinks are keys without a position that stand before all others and are seen by every query; they
// are not counted in positions, so a mask knows them only as columns of zeros on its left.
import { addDims, type Dim, subDims } from "../dim.ts";
import { add, less, logicalOr, where } from "../ops/elementwise.ts";
import { iota } from "../ops/indexing.ts";
import { pad, reshape, slice } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";

/** What is visible. */
export interface Visibility {
  readonly causal: boolean;
  readonly window: number | undefined;
  /** Position of the first query; undefined: S - T. */
  readonly first: number | undefined;
}

/** Finite stand-in for minus infinity: exp underflows to exactly 0, and a fully hidden row stays free of NaN. */
const hidden = -1e30;

/** Additive mask [T, sinks + S] of 0 and -1e30, or undefined when every key is visible. */
export function visibilityMask(
  t: Dim,
  s: Dim,
  { causal, window, first }: Visibility,
  sinks: number,
): Tensor | undefined {
  if (!causal && window === undefined) return undefined;
  if (causal && t === 1 && window === undefined && first === undefined) return undefined;
  const query = reshape(add(iota(t), first ?? asInt(subDims(s, t))), [t, 1]);
  const key = reshape(iota(s), [1, s]);
  const after = causal ? less(query, key) : undefined;
  const before = window === undefined ? undefined : less(add(key, window - 1), query);
  const ahead = window === undefined || causal ? undefined : less(add(query, window - 1), key);
  const masks = [after, before, ahead].filter((m) => m !== undefined);
  return pad(where(masks.reduce(logicalOr), hidden, 0), 1, sinks, 0);
}

/** A dimension as an int32 scalar inside a graph: the last entry of an iota one longer. */
function asInt(d: Dim): Tensor | number {
  return typeof d === "number" ? d : reshape(slice(iota(addDims(d, 1)), 0, d, addDims(d, 1)), []);
}
