// Words repeat, so the ids of short ones are remembered.
import { ownCopy } from "./pre-tokenize.ts";

const MAX_WORDS = 1 << 17;
const MAX_LENGTH = 64;

/** Remembers what `encode` made of short words. */
export class WordCache {
  readonly #words = new Map<string, Int32Array>();
  readonly #encode: (word: string) => Int32Array;

  constructor(encode: (word: string) => Int32Array) {
    this.#encode = encode;
  }

  ids(word: string): Int32Array {
    let ids = this.#words.get(word);
    if (ids !== undefined) return ids;
    ids = this.#encode(word);
    if (word.length <= MAX_LENGTH) {
      if (this.#words.size >= MAX_WORDS) this.#words.clear();
      this.#words.set(ownCopy(word), ids);
    }
    return ids;
  }
}
