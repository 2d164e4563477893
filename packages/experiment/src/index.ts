// Public entry of @caramba/experiment.

export type { ExperimentEvent, ExperimentListener, Stage } from "./events.ts";
export { openText, type TargetText } from "./open-data.ts";
export { openModel } from "./open-teacher.ts";
export { type QuickstartOptions, quickstartManifest, runQuickstart } from "./quickstart.ts";
export { type ReportContext, reportOf } from "./report.ts";
export {
  chooseTargets,
  type ExperimentOptions,
  type ExperimentResult,
  runExperiment,
  targetFolder,
} from "./run-experiment.ts";
export { runTarget, type TargetContext, type TargetResult } from "./run-target.ts";
export type { Sample } from "./samples.ts";
export { demandSupported, demandSupportedPlan } from "./support.ts";
