// Where tokens are read from: a long array of ids of which any stretch can be had.
import { CarambaError } from "@caramba/tensor";

/** Random access to token ids. */
export interface TokenSource {
  /** File path, or a name for tokens in memory; used in messages. */
  readonly path: string;
  /** Number of tokens. */
  readonly length: number;
  /** Ids at start <= position < end. Errors: RangeError outside 0..length, CarambaError `token-id` for ids below 0 or above int32. */
  read(start: number, end: number): Int32Array;
  close(): void;
}

/** Tokens that are in memory. */
export class MemoryTokens implements TokenSource {
  readonly path: string;
  readonly #ids: Int32Array;

  constructor(ids: Int32Array, path = "tokens in memory") {
    this.path = path;
    this.#ids = ids;
  }

  get length(): number {
    return this.#ids.length;
  }

  read(start: number, end: number): Int32Array {
    checkRange(start, end, this.length);
    return this.#ids.slice(start, end);
  }

  close(): void {}
}

/** Throws unless 0 <= start <= end <= length. */
export function checkRange(start: number, end: number, length: number): void {
  if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= length)) {
    throw new RangeError(`tokens ${start} to ${end} asked for, of ${length}`);
  }
}

/** Checks ids that were read at `start` against a vocabulary. Errors: CarambaError `token-id`. */
export function checkIds(ids: Int32Array, start: number, source: TokenSource, vocabSize: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    if (id < 0 || id >= vocabSize) {
      throw new CarambaError(
        `${source.path}: token ${start + i} has id ${id}, but the vocabulary has ${vocabSize} ids (0 to ${vocabSize - 1})`,
        {
          code: "token-id",
          remedy:
            "the file was probably made with another tokenizer: prepare it again with this model's, or set vocab_size to that tokenizer's size",
        },
      );
    }
  }
}

/** Checks every token of a source, in stretches. Errors: CarambaError `token-id`. */
export function checkTokens(source: TokenSource, vocabSize: number): void {
  const stretch = 1 << 16;
  for (let start = 0; start < source.length; start += stretch) {
    checkIds(source.read(start, Math.min(source.length, start + stretch)), start, source, vocabSize);
  }
}
