// Statistics of timings.
import { sampleStandardDeviation } from "simple-statistics";

/** A 99th percentile of fewer samples than this is little more than their maximum. */
export const RELIABLE_P99_SAMPLES = 100;

/**
 * The p-quantile (0 to 1) by linear interpolation between order statistics (type 7 of Hyndman and Fan, "Sample
 * quantiles in statistical packages", 1996; NumPy's default); null of nothing.
 */
export function percentile(values: readonly number[], p: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  if (sorted.length === 0) return null;
  const at = p * (sorted.length - 1);
  const low = sorted[Math.floor(at)] as number;
  const high = sorted[Math.ceil(at)] as number;
  return low + (high - low) * (at - Math.floor(at));
}

/** Sample standard deviation; null of fewer than two values. */
export function deviation(values: readonly number[]): number | null {
  return values.length < 2 ? null : sampleStandardDeviation([...values]);
}
