// Windows for evaluation: side by side, never overlapping, so that each token is scored once.
import { CarambaError } from "@caramba/tensor";
import { checkRoom, type TokenRange } from "./split.ts";
import type { TokenBatch } from "./token-batches.ts";
import { checkIds, type TokenSource } from "./token-source.ts";

export interface EvalWindowsOptions {
  readonly source: TokenSource;
  /** Default: all of the source. */
  readonly range?: TokenRange;
  /** T, tokens per window. */
  readonly blockSize: number;
  /** Number of windows. Default: all that fit side by side. */
  readonly count?: number;
  /** True (default) spreads them evenly over the range, false takes the first. */
  readonly spread?: boolean;
}

/**
 * First positions of `count` windows of blockSize tokens each. No input token and no target is in two windows (the
 * target after a window's last token may be the next window's first input).
 * Errors: CarambaError `too-short` when `count` windows do not fit.
 */
export function evalWindows(options: EvalWindowsOptions): number[] {
  const { source, blockSize } = options;
  const range = options.range ?? { start: 0, end: source.length };
  checkRoom(range, blockSize, source.path);
  const usable = range.end - range.start - 1;
  const fit = Math.floor(usable / blockSize);
  const count = options.count ?? fit;
  if (!Number.isSafeInteger(count) || count < 1 || count > fit) {
    throw new CarambaError(
      `${source.path}: ${count} non-overlapping windows of ${blockSize} tokens asked for, but ${usable + 1} tokens hold ${fit}`,
      { code: "too-short", remedy: `ask for 1 to ${fit} windows, use a smaller block_size, or give more text` },
    );
  }
  // The last window ends with the range; the gaps between are as even as integers allow.
  const spread = options.spread ?? true;
  const startOf =
    spread && count > 1
      ? (index: number) => Math.floor((index * (usable - blockSize)) / (count - 1))
      : (index: number) => index * blockSize;
  return Array.from({ length: count }, (_, index) => range.start + startOf(index));
}

/** Reads windows as one batch, row-major [windows, T]; ids are checked against the vocabulary. */
export function readWindows(
  source: TokenSource,
  starts: readonly number[],
  blockSize: number,
  vocabSize: number,
): TokenBatch {
  const tokens = new Int32Array(starts.length * blockSize);
  const targets = new Int32Array(starts.length * blockSize);
  starts.forEach((start, row) => {
    const window = source.read(start, start + blockSize + 1);
    checkIds(window, start, source, vocabSize);
    tokens.set(window.subarray(0, blockSize), row * blockSize);
    targets.set(window.subarray(1), row * blockSize);
  });
  return { tokens, targets };
}
