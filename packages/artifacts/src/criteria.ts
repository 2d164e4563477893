// The checklist: the goals of the upcycle (perplexity ratio, KV-cache share) and the guide's success criteria. A
// criterion without its measurement is "not measured", which is neither passed nor failed.

import { fixed, percent } from "./format.ts";
import type { CriteriaGoals, ExperimentReport, Measured } from "./report.ts";
import type { Summary } from "./summarize.ts";

/** Thresholds used where the report sets none. */
export const DEFAULT_GOALS: CriteriaGoals = {
  maxPerplexityRatio: 1.1,
  maxKvFraction: 0.65,
  maxPerplexityIncrease: 0.05,
  minThroughputIncrease: 0.2,
  minKvReduction: 3,
  requireVerification: true,
};

/** One line of the checklist. */
export interface CriterionResult {
  readonly id: string;
  /** What is asked, e.g. `perplexity ratio at most 1.10`. */
  readonly goal: string;
  readonly status: "pass" | "fail" | "not measured";
  readonly value: Measured;
  readonly limit: Measured;
  /** The value as text. */
  readonly measured: string;
  /** How far it was missed, or what the confidence interval says about it; empty when there is nothing to add. */
  readonly remark: string;
}

interface Limit {
  readonly id: string;
  readonly goal: string;
  readonly value: Measured;
  readonly limit: number;
  /** Lower is better, or higher is. */
  readonly better: "lower" | "higher";
  /** Whether reaching the limit exactly is enough. */
  readonly inclusive: boolean;
  readonly show: (value: Measured) => string;
  readonly interval?: readonly [number, number] | null;
}

function intervalRemark(limit: Limit, show: (value: number) => string): string {
  if (!limit.interval) return "";
  const [low, high] = limit.interval;
  const range = `${show(low)} to ${show(high)}`;
  const inside = limit.limit >= low && limit.limit <= high;
  if (inside) return `the interval ${range} includes the limit`;
  const good = limit.better === "lower" ? high < limit.limit : low > limit.limit;
  return good ? `the whole interval ${range} meets it` : `the whole interval ${range} misses it`;
}

function judge(limit: Limit): CriterionResult {
  const { id, goal, value, better, inclusive } = limit;
  if (value === null) {
    return { id, goal, status: "not measured", value, limit: limit.limit, measured: "n/a", remark: "" };
  }
  const met = better === "lower" ? value < limit.limit : value > limit.limit;
  const pass = met || (inclusive && value === limit.limit);
  const remarks: string[] = [];
  if (!pass) {
    const gap = Math.abs(value - limit.limit);
    const share = limit.limit === 0 ? "" : ` (${percent(gap / Math.abs(limit.limit))} of the limit)`;
    remarks.push(Number.isFinite(gap) ? `missed by ${limit.show(gap)}${share}` : "missed");
  }
  const interval = intervalRemark(limit, limit.show);
  if (interval !== "") remarks.push(interval);
  return {
    id,
    goal,
    status: pass ? "pass" : "fail",
    value,
    limit: limit.limit,
    measured: limit.show(value),
    remark: remarks.join("; "),
  };
}

function minusOne(value: Measured): Measured {
  return value === null ? null : value - 1;
}

const ratio = (value: Measured): string => fixed(value, 3);
const share = (value: Measured): string => percent(value);

/** Judges a report by its goals, `DEFAULT_GOALS` filling what it does not set. */
export function evaluateCriteria(report: ExperimentReport, summary: Summary): CriterionResult[] {
  const goals = { ...DEFAULT_GOALS, ...report.goals };
  const limits: Limit[] = [];
  const interval = summary.perplexityRatioCi;
  if (goals.maxPerplexityRatio !== null) {
    limits.push({
      id: "perplexity_ratio",
      goal: `Perplexity ratio student/teacher at most ${fixed(goals.maxPerplexityRatio, 2)}`,
      value: summary.perplexityRatio,
      limit: goals.maxPerplexityRatio,
      better: "lower",
      inclusive: true,
      show: ratio,
      interval,
    });
  }
  if (goals.maxKvFraction !== null) {
    limits.push({
      id: "kv_fraction",
      goal: `KV-cache bytes at most ${fixed(goals.maxKvFraction, 2)} of the teacher's`,
      value: summary.kvFraction,
      limit: goals.maxKvFraction,
      better: "lower",
      inclusive: true,
      show: ratio,
    });
  }
  if (goals.maxPerplexityIncrease !== null) {
    limits.push({
      id: "perplexity_increase",
      goal: `Perplexity increase below ${percent(goals.maxPerplexityIncrease, 0)}`,
      value: minusOne(summary.perplexityRatio),
      limit: goals.maxPerplexityIncrease,
      better: "lower",
      inclusive: false,
      show: share,
      interval: interval ? [interval[0] - 1, interval[1] - 1] : null,
    });
  }
  if (goals.minThroughputIncrease !== null) {
    limits.push({
      id: "throughput_increase",
      goal: `Throughput increase above ${percent(goals.minThroughputIncrease, 0)}`,
      value: minusOne(summary.speedup),
      limit: goals.minThroughputIncrease,
      better: "higher",
      inclusive: false,
      show: share,
    });
  }
  if (goals.minKvReduction !== null) {
    limits.push({
      id: "kv_reduction",
      goal: `KV-cache reduction above ${fixed(goals.minKvReduction, 1)} times`,
      value: summary.kvReduction,
      limit: goals.minKvReduction,
      better: "higher",
      inclusive: false,
      show: (value) => fixed(value, 2),
    });
  }
  const results = limits.map(judge);
  if (goals.requireVerification) results.push(verificationResult(report));
  return results;
}

function verificationResult(report: ExperimentReport): CriterionResult {
  const failed = report.verification.filter((row) => !row.passed);
  const total = report.verification.length;
  const measured = total > 0;
  return {
    id: "verification",
    goal: "No verification failures",
    status: !measured ? "not measured" : failed.length === 0 ? "pass" : "fail",
    value: measured ? failed.length : null,
    limit: 0,
    measured: measured ? `${failed.length} of ${total} failed` : "n/a",
    remark: failed.map((row) => `${row.run}/${row.type}: ${row.violations.join(", ") || "failed"}`).join("; "),
  };
}

/** The guide's reading of a perplexity. */
export function perplexityBand(perplexity: Measured): string {
  if (perplexity === null || Number.isNaN(perplexity)) return "n/a";
  if (perplexity < 5) return "excellent";
  if (perplexity <= 10) return "good";
  if (perplexity <= 20) return "acceptable";
  return "poor";
}
