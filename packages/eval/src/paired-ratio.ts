// Student over teacher perplexity with a confidence interval. Both models score the same windows; what one window has
// in common (easy or hard text) cancels in the difference, so the interval is far narrower than one for two
// perplexities by themselves. With d_i = (student NLL - teacher NLL) / tokens of window i: ratio = exp(mean d), and the
// t interval of mean d over windows, exponentiated, is the interval of the ratio.
import { CarambaError } from "@caramba/tensor";
import { tQuantile } from "./student-t.ts";

/** Student over teacher perplexity on the same windows. */
export interface PairedRatio {
  /** exp(deltaNll); below 1 the student is better. */
  readonly ratio: number;
  readonly ciLow: number;
  readonly ciHigh: number;
  /** Coverage of the interval, such as 0.95. */
  readonly confidence: number;
  /** How the interval was made. */
  readonly method: string;
  readonly nWindows: number;
  /** Mean student minus teacher loss, nats per token. */
  readonly deltaNll: number;
  /** Standard error of deltaNll over windows. */
  readonly stdErr: number;
}

/** How sure the interval shall be. */
export interface PairedRatioOptions {
  /** Default 0.95. */
  readonly confidence?: number;
}

/** Mean of values and its standard error over them; the error of one value is NaN. */
export function meanAndError(values: readonly number[]): { readonly mean: number; readonly stdErr: number } {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, stdErr: Math.sqrt(squares / (n - 1) / n) };
}

/**
 * Compares loss sums (nats) of the same windows, each of `tokensPerWindow` scored tokens.
 * Errors: CarambaError `statistics` for different or fewer than two windows, `nan` for losses that are no numbers.
 */
export function pairedPerplexityRatio(
  teacherSums: ArrayLike<number>,
  studentSums: ArrayLike<number>,
  tokensPerWindow: number,
  options: PairedRatioOptions = {},
): PairedRatio {
  const confidence = options.confidence ?? 0.95;
  const n = teacherSums.length;
  if (n !== studentSums.length || n < 2)
    throw new CarambaError(
      `a paired comparison needs the same two or more windows, given ${n} of the teacher and ${studentSums.length} of the student`,
      { code: "statistics", remedy: "score both models on the same windows; raise batches or lower block_size" },
    );
  const differences = Array.from(
    { length: n },
    (_, i) => ((studentSums[i] as number) - (teacherSums[i] as number)) / tokensPerWindow,
  );
  if (!differences.every(Number.isFinite))
    throw new CarambaError("a loss of the comparison is not a finite number", {
      code: "nan",
      remedy: "check the checkpoints; training may have diverged",
    });
  const { mean, stdErr } = meanAndError(differences);
  const half = tQuantile(confidence, n - 1) * stdErr;
  return {
    ratio: Math.exp(mean),
    ciLow: Math.exp(mean - half),
    ciHigh: Math.exp(mean + half),
    confidence,
    method: "paired t interval over windows",
    nWindows: n,
    deltaNll: mean,
    stdErr,
  };
}
