// Student's t distribution with whole degrees of freedom, by its finite trigonometric sums (Abramowitz and Stegun,
// Handbook of Mathematical Functions, 26.7.3 and 26.7.4). Exact up to rounding, which is why no library is needed.
import { CarambaError } from "@caramba/tensor";

/** P(|T| <= t) for t >= 0 with `df` degrees of freedom (a positive integer). */
export function tCoverage(t: number, df: number): number {
  const theta = Math.atan(t / Math.sqrt(df));
  const cos = Math.cos(theta);
  const odd = df % 2 === 1;
  let sum = 0;
  let term = odd ? cos : 1;
  for (let k = odd ? 3 : 2; k <= df; k += 2) {
    sum += term;
    term *= ((k - 1) / k) * cos * cos;
  }
  return odd ? (2 / Math.PI) * (theta + Math.sin(theta) * sum) : Math.sin(theta) * sum;
}

/** The t with P(|T| <= t) = confidence: half the width of a two-sided interval in standard errors. */
export function tQuantile(confidence: number, df: number): number {
  if (!(confidence > 0 && confidence < 1) || !Number.isInteger(df) || df < 1)
    throw new CarambaError(`no t interval for confidence ${confidence} with ${df} degrees of freedom`, {
      code: "statistics",
      remedy: "use a confidence between 0 and 1 and at least two windows",
    });
  let [low, high] = [0, 1];
  while (tCoverage(high, df) < confidence) [low, high] = [high, high * 2];
  // Halving gains one bit each time.
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (tCoverage(middle, df) < confidence) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
