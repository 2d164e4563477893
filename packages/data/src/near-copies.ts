// Finds files that say again what others said: other builds of one declaration file, boilerplate with a line of its
// own. They would teach nothing and put copies of training text into validation.
import { streamOf } from "@caramba/tensor";

const MIN_LINE = 20;

/** Remembers the lines of the texts it has accepted. */
export class NearCopies {
  readonly #lines = new Set<number>();
  readonly #threshold: number;

  /** @param threshold a text is a near copy when this part of its characters, in lines of 20 or more, was seen before. */
  constructor(threshold = 0.8) {
    this.#threshold = threshold;
  }

  /** Whether the text is a near copy; when it is not, its lines are remembered. */
  check(text: string): boolean {
    const keys: number[] = [];
    let total = 0;
    let seen = 0;
    for (const line of text.split("\n")) {
      const trimmed = line.trim();
      if (trimmed.length < MIN_LINE) continue;
      // A 32-bit hash: the rare collision changes nothing that matters.
      const key = streamOf(trimmed);
      keys.push(key);
      total += trimmed.length;
      if (this.#lines.has(key)) seen += trimmed.length;
    }
    if (total > 0 && seen >= this.#threshold * total) return true;
    for (const key of keys) this.#lines.add(key);
    return false;
  }
}
