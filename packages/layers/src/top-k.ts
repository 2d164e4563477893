// The k largest of each row, exactly k of them: among equal values the lower index comes first. k rounds of "largest of
// what is left"; no gradient flows through the choice.
import {
  cast,
  constant,
  equal,
  greaterEqual,
  logicalOr,
  max,
  minimum,
  reshape,
  sub,
  type Tensor,
  where,
} from "@caramba/tensor";

/** What `topK` chose. */
export interface TopK {
  /** Position of the first, second, ... choice, int32 [...]. */
  readonly indices: readonly Tensor[];
  /** The same as one true entry per row, bool [..., N]. */
  readonly choices: readonly Tensor[];
  /** All choices together, bool [..., N]. */
  readonly selected: Tensor;
}

/** The k largest entries of the last axis of x [..., N], whose values are not negative. */
export function topK(x: Tensor, k: number): TopK {
  const count = x.shape[x.rank - 1] as number;
  // N, N-1, ... 1: the largest rank among equal values belongs to the lowest index.
  const rank = constant(
    Float32Array.from({ length: count }, (_, i) => count - i),
    [count],
  );
  const indices: Tensor[] = [];
  const choices: Tensor[] = [];
  let left = x;
  for (let round = 0; round < k; round++) {
    const first = max(where(greaterEqual(left, max(left, [-1], true)), rank, 0), [-1], true);
    const choice = equal(rank, first);
    choices.push(choice);
    // Where a row is not a number nothing is chosen; the index must still exist.
    indices.push(reshape(cast(minimum(sub(count, first), count - 1), "int32"), x.shape.slice(0, -1)));
    left = where(choice, -1, left);
  }
  return { indices, choices, selected: choices.reduce((a, b) => logicalOr(a, b)) };
}
