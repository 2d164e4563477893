// Cutting tokens into a training and a validation part that share nothing.
import { CarambaError } from "@caramba/tensor";

/** Tokens at start <= position < end. */
export interface TokenRange {
  readonly start: number;
  readonly end: number;
}

export interface TokenSplit {
  readonly train: TokenRange;
  /** Undefined when valFrac is 0. */
  readonly val: TokenRange | undefined;
}

/**
 * The last `valFrac` of the tokens become validation. Windows are read inside one range, their shifted targets
 * included, so that no token, not even as a target, is in both.
 * @param n number of tokens; @param valFrac 0 <= valFrac < 1; @param blockSize window length T.
 * Errors: CarambaError `split` when valFrac is out of range, `too-short` when a part cannot hold one window (T + 1).
 */
export function splitTokens(n: number, valFrac: number, blockSize: number, path = "the text"): TokenSplit {
  if (!(valFrac >= 0 && valFrac < 1)) {
    throw new CarambaError(`val_frac is ${valFrac}, but must be at least 0 and below 1`, {
      code: "split",
      remedy: "0.1 holds back a tenth for validation",
    });
  }
  const cut = n - Math.round(n * valFrac);
  const train = { start: 0, end: cut };
  checkRoom(train, blockSize, valFrac === 0 ? path : `the training part of ${path} (${n} tokens, val_frac ${valFrac})`);
  if (valFrac === 0) return { train, val: undefined };
  const val = { start: cut, end: n };
  checkRoom(val, blockSize, `the validation part of ${path} (${n} tokens, val_frac ${valFrac})`);
  return { train, val };
}

/** Throws CarambaError `too-short` unless one window of blockSize tokens and its shifted target fit. */
export function checkRoom(range: TokenRange, blockSize: number, what: string): void {
  if (!Number.isSafeInteger(blockSize) || blockSize < 1) {
    throw new CarambaError(`block_size is ${blockSize}, but must be a positive integer`, { code: "block-size" });
  }
  const have = range.end - range.start;
  if (have < blockSize + 1) {
    throw new CarambaError(
      `${what} has ${have} tokens, too short for block_size ${blockSize}, which needs ${blockSize + 1}`,
      { code: "too-short", remedy: "give more text, or a smaller block_size" },
    );
  }
}
