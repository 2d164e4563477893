// @caramba/artifacts: a finished experiment's results as files. Give writeArtifacts a plain ExperimentReport; it writes
// report.json, CSV tables, charts, LaTeX and a readable report into one new folder, whole or not at all.

export { type CriterionResult, DEFAULT_GOALS, evaluateCriteria } from "./criteria.ts";
export { ArtifactError } from "./errors.ts";
export type {
  CriteriaGoals,
  ExperimentReport,
  LatencyRow,
  Measured,
  MemoryRow,
  ModelFacts,
  PairedComparison,
  PerplexityRow,
  ReportMetadata,
  ReportVersions,
  Roles,
  SampleText,
  TrainingPoint,
  VerificationRow,
} from "./report.ts";
export { type Summary, summarize } from "./summarize.ts";
export { type ArtifactFormat, type WriteOptions, type WrittenArtifacts, writeArtifacts } from "./write-artifacts.ts";
