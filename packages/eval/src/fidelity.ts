// Compares two models by what they are for: the loss on text that neither was trained on. delta is student minus
// teacher (positive: the student is worse), the perplexity ratio is exp(delta).
import type { FidelityVerifyConfig } from "@caramba/config";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError } from "@caramba/tensor";
import { type PairedRatio, type PairedRatioOptions, pairedPerplexityRatio } from "./paired-ratio.ts";
import { conclude, type VerificationResult, violationsOf } from "./result.ts";
import { WindowScorer } from "./window-scorer.ts";
import { type Windows, windowCount } from "./windows.ts";

/** What to compare, on what. */
export interface FidelityOptions extends PairedRatioOptions {
  readonly teacher: Model;
  readonly student: Model;
  readonly backend: Backend;
  /** Windows that do not overlap, of the held-out part. */
  readonly windows: Windows;
  /** Windows per batch; default 1. Changes speed only. */
  readonly batchSize?: number;
  /** Ids from here on are padding of the table; default none. */
  readonly validVocabSize?: number | null;
  readonly config: Pick<FidelityVerifyConfig, "maxDeltaNll" | "maxPplRatio" | "failFast">;
}

/** A fidelity verification with the loss sums it rests on. */
export interface FidelityResult extends VerificationResult {
  /** null with a single window, which has no spread. */
  readonly comparison: PairedRatio | null;
  /** Loss sum of each window, nats. */
  readonly teacherSums: Float64Array;
  readonly studentSums: Float64Array;
}

const total = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);

/**
 * Token-weighted losses of both models on the same windows. Metrics: teacher_nll, student_nll, delta_nll, ppl_ratio,
 * ppl_ratio_ci_low, ppl_ratio_ci_high, windows, tokens.
 * Errors: CarambaError `nan` when a loss is no number; `verify-failed` with failFast.
 */
export async function fidelity(options: FidelityOptions): Promise<FidelityResult> {
  const { backend, windows, config } = options;
  const count = windowCount(windows);
  const score = async (model: Model): Promise<Float64Array> => {
    const scorer = await WindowScorer.open(model, {
      backend,
      batchSize: Math.min(options.batchSize ?? 1, count),
      blockSize: windows.blockSize,
      validVocabSize: options.validVocabSize ?? null,
    });
    try {
      return await scorer.scoreWindows(windows.tokens, windows.targets);
    } finally {
      scorer.dispose();
    }
  };
  const teacherSums = await score(options.teacher);
  const studentSums = await score(options.student);
  const tokens = windows.tokens.length;
  const [teacher, student] = [total(teacherSums) / tokens, total(studentSums) / tokens];
  for (const [who, loss] of Object.entries({ teacher, student }))
    if (!Number.isFinite(loss))
      throw new CarambaError(`the ${who}'s loss is ${loss}`, {
        code: "nan",
        remedy: `check the ${who}'s checkpoint; training may have diverged`,
      });
  const delta = student - teacher;
  const ratio = Math.exp(delta);
  const { confidence } = options;
  const comparison =
    count < 2
      ? null
      : pairedPerplexityRatio(teacherSums, studentSums, windows.blockSize, confidence ? { confidence } : {});
  const violations = violationsOf([
    { name: "max_delta_nll", metric: "delta NLL", value: delta, limit: config.maxDeltaNll, kind: "at most" },
    { name: "max_ppl_ratio", metric: "perplexity ratio", value: ratio, limit: config.maxPplRatio, kind: "at most" },
  ]);
  const metrics = {
    teacher_nll: teacher,
    student_nll: student,
    delta_nll: delta,
    ppl_ratio: ratio,
    ppl_ratio_ci_low: comparison?.ciLow ?? null,
    ppl_ratio_ci_high: comparison?.ciHigh ?? null,
    windows: count,
    tokens,
  };
  return conclude(
    { type: "fidelity", passed: violations.length === 0, metrics, violations, comparison, teacherSums, studentSums },
    config.failFast,
  );
}
