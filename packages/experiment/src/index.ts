// Public entry of @caramba/experiment.

export { chooseTargets, targetFolder } from "./choose.ts";
export { type DryRunCheck, type DryRunOptions, dryRun } from "./dry-run.ts";
export type { ExperimentEvent, ExperimentListener, Stage } from "./events.ts";
export { exportHf, type HfExport, type HfExportOptions } from "./export-hf.ts";
export { exportOnnx, type OnnxExport, type OnnxExportOptions } from "./export-onnx.ts";
export { type FilledModel, fillModel } from "./fill-model.ts";
export { openText, type TargetText } from "./open-data.ts";
export { type OpenedModel, type OpenModelOptions, openModel } from "./open-teacher.ts";
export { type LocatedTokenizer, locateTokenizer, openTokenizer } from "./open-tokenizer.ts";
export { type QuickstartOptions, quickstartManifest, runQuickstart } from "./quickstart.ts";
export { type ReportContext, reportOf } from "./report.ts";
export { type ExperimentOptions, type ExperimentResult, runExperiment } from "./run-experiment.ts";
export { runTarget, type TargetContext, type TargetResult } from "./run-target.ts";
export type { Sample } from "./samples.ts";
export { demandSupportedPlan } from "./support.ts";
