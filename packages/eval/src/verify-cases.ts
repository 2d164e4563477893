// The eval verification: the student must answer enough cases, and not many fewer than its teacher.
import type { EvalVerifyConfig } from "@caramba/config";
import type { Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";
import type { CaseTokenizer } from "./case-tokenizer.ts";
import { accuracy, type CaseOutcome, runCases } from "./cases.ts";
import { conclude, type VerificationResult, violationsOf } from "./result.ts";

/** What to verify, with which tokenizer. */
export interface VerifyCasesOptions {
  readonly teacher: Model;
  readonly student: Model;
  readonly backend: Backend;
  /** The one that `config.tokenizer` names. */
  readonly tokenizer: CaseTokenizer;
  readonly config: EvalVerifyConfig;
}

/** An eval verification with what both models said. */
export interface CasesResult extends VerificationResult {
  readonly teacherOutcomes: readonly CaseOutcome[];
  readonly studentOutcomes: readonly CaseOutcome[];
}

/**
 * Runs all cases on both models. Metrics: teacher_accuracy, student_accuracy, accuracy_drop (teacher minus student), cases.
 * Errors: those of `runCases`; CarambaError `verify-failed` with failFast.
 */
export async function verifyCases(options: VerifyCasesOptions): Promise<CasesResult> {
  const { teacher, student, config } = options;
  const teacherOutcomes = await runCases(teacher, config.cases, {
    ...options,
    ...config,
    tokenizer: options.tokenizer,
  });
  const studentOutcomes = await runCases(student, config.cases, {
    ...options,
    ...config,
    tokenizer: options.tokenizer,
  });
  const [before, after] = [accuracy(teacherOutcomes), accuracy(studentOutcomes)];
  const drop = before - after;
  const { minStudentAccuracy, maxAccuracyDrop } = config.thresholds;
  const violations = violationsOf([
    {
      name: "min_student_accuracy",
      metric: "student accuracy",
      value: after,
      limit: minStudentAccuracy,
      kind: "at least",
    },
    { name: "max_accuracy_drop", metric: "accuracy drop", value: drop, limit: maxAccuracyDrop, kind: "at most" },
  ]);
  const metrics = {
    teacher_accuracy: before,
    student_accuracy: after,
    accuracy_drop: drop,
    cases: config.cases.length,
  };
  return conclude(
    { type: "eval", passed: violations.length === 0, metrics, violations, teacherOutcomes, studentOutcomes },
    config.failFast,
  );
}
