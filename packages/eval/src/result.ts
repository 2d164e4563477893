// What a verification hands back, and what a violation leads to.
import { CarambaError } from "@caramba/tensor";

/** Outcome of one verification. A metric that could not be had is null. */
export interface VerificationResult {
  /** `compare`, `fidelity`, `eval` or `kvcache`. */
  readonly type: string;
  readonly passed: boolean;
  readonly metrics: Readonly<Record<string, number | null>>;
  /** One sentence for each threshold that was crossed. */
  readonly violations: readonly string[];
}

/** A threshold: the metric's value may not be above (below) it; null: none. */
export interface Threshold {
  readonly name: string;
  readonly metric: string;
  readonly value: number;
  readonly limit: number | null;
  readonly kind: "at most" | "at least";
}

const digits = (value: number): string => String(Number(value.toPrecision(6)));

/** One sentence per crossed threshold; a value that is no number crosses every threshold. */
export function violationsOf(thresholds: readonly Threshold[]): string[] {
  return thresholds.flatMap(({ name, metric, value, limit, kind }) => {
    if (limit === null || (kind === "at most" ? value <= limit : value >= limit)) return [];
    const side = Number.isNaN(value) ? "not comparable with" : kind === "at most" ? "above" : "below";
    return [`${metric} ${digits(value)} is ${side} ${name} ${digits(limit)}`];
  });
}

/**
 * The result of a verification.
 * Errors: CarambaError `verify-failed` when it failed and `failFast` is set.
 */
export function conclude<T extends VerificationResult>(result: T, failFast: boolean): T {
  if (failFast && !result.passed)
    throw new CarambaError(`verification ${result.type} failed: ${result.violations.join("; ")}`, {
      code: "verify-failed",
      remedy: "train the student longer or loosen the thresholds; fail_fast: false reports this and goes on",
    });
  return result;
}
