// The core of byte-pair encoding: a word as ids, merges applied lowest rank first, leftmost first, until none applies.
// A linked list over positions and a heap of candidate pairs: O(n log n) in the word's length.
import { Heap } from "./heap.ts";

/** [left id, right id, merged id]. */
export type Merge = readonly [number, number, number];

/** Merges by rank (their place in the list). */
export class MergeTable {
  readonly #merges: readonly Merge[];
  readonly #vocabSize: number;
  readonly #rankOfPair = new Map<number, number>();

  constructor(vocabSize: number, merges: readonly Merge[]) {
    this.#vocabSize = vocabSize;
    this.#merges = merges;
    merges.forEach(([left, right], rank) => {
      this.#rankOfPair.set(left * vocabSize + right, rank);
    });
  }

  /** The ids of a word after all merges; `ids` is used up as working space. */
  apply(ids: Int32Array): Int32Array {
    const count = ids.length;
    const next = new Int32Array(count);
    const previous = new Int32Array(count);
    // Candidate = rank * 2^32 + position: one number that orders by rank, then from left to right.
    const heap = new Heap<number>((a, b) => a < b);
    for (let i = 0; i < count; i++) {
      next[i] = i + 1 < count ? i + 1 : -1;
      previous[i] = i - 1;
    }
    const consider = (at: number): void => {
      const after = at === -1 ? -1 : (next[at] as number);
      if (after === -1) return;
      const rank = this.#rankOfPair.get((ids[at] as number) * this.#vocabSize + (ids[after] as number));
      if (rank !== undefined) heap.push(rank * 4294967296 + at);
    };
    for (let i = 0; i < count; i++) consider(i);
    let left = count;
    for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
      const rank = Math.floor(top / 4294967296);
      const at = top % 4294967296;
      const after = next[at] as number;
      const merge = this.#merges[rank] as Merge;
      // Stale when either symbol has been merged away since.
      if (ids[at] !== merge[0] || after === -1 || ids[after] !== merge[1]) continue;
      ids[at] = merge[2];
      ids[after] = -1;
      left--;
      const beyond = next[after] as number;
      next[at] = beyond;
      if (beyond !== -1) previous[beyond] = at;
      consider(previous[at] as number);
      consider(at);
    }
    const out = new Int32Array(left);
    for (let at = 0, n = 0; at !== -1 && n < left; at = next[at] as number) out[n++] = ids[at] as number;
    return out;
  }
}
