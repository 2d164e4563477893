// Which windows of a text are measured. All are of the held-out part where there is one, none share a scored token, and
// they are spread over the part, so that a few of them stand for all of it.
import { evalWindows, readWindows, type TokenRange, type TokenSource, type TokenSplit } from "@caramba/data";
import type { WindowReader } from "@caramba/eval";
import { CarambaError } from "@caramba/tensor";

/** A part of a text by name; `auto`: the held-out part, all where nothing is held out. */
export type TextPart = "auto" | "train" | "val" | "all";

/** Positions of a part. Errors: CarambaError `split` for a part that the text does not have. */
export function rangeOf(part: TextPart, source: TokenSource, split?: TokenSplit): TokenRange {
  const all = { start: 0, end: source.length };
  if (part === "all") return all;
  if (part === "auto") return split?.val ?? split?.train ?? all;
  const range = part === "val" ? split?.val : split?.train;
  if (!range)
    throw new CarambaError(`${source.path} has no ${part} part`, {
      code: "split",
      remedy: part === "val" ? "set val_frac above 0, or use split: all" : "use split: all",
    });
  return range;
}

/** Chosen windows. */
export interface ChosenWindows {
  /** First position of each. */
  readonly starts: readonly number[];
  /** Tokens of each window, its last ones, whose loss counts. */
  readonly scored: number;
  /** Set when there are fewer than were asked for. */
  readonly warning: string | undefined;
}

/** Which windows are wanted. */
export interface ChooseOptions {
  readonly source: TokenSource;
  readonly range: TokenRange;
  readonly blockSize: number;
  /** Default (null): all that fit. */
  readonly count: number | null;
  /**
   * Tokens between windows. Below blockSize, windows overlap and only the last `stride` tokens of each are scored: each
   * token once, with at least blockSize - stride tokens before it. Default: blockSize.
   */
  readonly stride?: number | null;
}

/** Chooses windows. Errors: CarambaError `too-short` when not one fits. */
export function chooseWindows(options: ChooseOptions): ChosenWindows {
  const { source, range, blockSize, count } = options;
  const stride = options.stride ?? blockSize;
  // Checks that one fits.
  evalWindows({ source, range, blockSize, count: 1 });
  const fit = Math.floor((range.end - range.start - 1 - blockSize) / stride) + 1;
  const used = Math.min(count ?? fit, fit);
  // Where all are taken they lie side by side from the start, as whoever scores a whole text has them.
  const starts =
    stride === blockSize
      ? evalWindows({ source, range, blockSize, count: used, spread: used < fit })
      : Array.from(
          { length: used },
          (_, i) => range.start + stride * (used < 2 ? 0 : Math.floor((i * (fit - 1)) / (used - 1))),
        );
  const warning =
    count !== null && fit < count
      ? `${source.path}: ${count} windows of ${blockSize} tokens were asked for, the part that is measured holds ${fit}; all ${fit} were used`
      : undefined;
  return { starts, scored: Math.min(stride, blockSize), warning };
}

/** Where a WindowReader reads. */
export interface WindowReaderOptions {
  readonly tokens: TokenSource;
  /** Training and held-out part; default: all is one part. */
  readonly split?: TokenSplit;
  /** Ids are checked against it. */
  readonly vocabSize: number;
}

/** A reader for the verifications of @caramba/eval: non-overlapping windows spread over the asked part. */
export function windowReader({ tokens, split, vocabSize }: WindowReaderOptions): WindowReader {
  return ({ blockSize, count, split: part }) => {
    const { starts } = chooseWindows({ source: tokens, range: rangeOf(part, tokens, split), blockSize, count });
    return { ...readWindows(tokens, starts, blockSize, vocabSize), blockSize };
  };
}
