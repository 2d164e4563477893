// Public entry of @caramba/trainer.
export { teacherConfig } from "@caramba/config";
export { attentionCovariances } from "./covariance.ts";
export type { TrainEvent, TrainListener } from "./events.ts";
export { type LanguageLossOptions, languageLoss } from "./loss.ts";
export { Optimizer } from "./optimizer.ts";
export { loadModelTensors, type Progress, type Restored, RunStore, type RunStoreOptions } from "./persistence.ts";
export { runTraining } from "./run.ts";
export { type BlockwiseOutcome, runBlockwise, type TeacherCacheStats } from "./run-blockwise.ts";
export {
  checkpointedSegments,
  type RunContext,
  type RunOutcome,
  runLanguage,
  type Validation,
  validate,
} from "./run-language.ts";
export { learningRateFactor, type ScheduleOptions } from "./schedule.ts";
export { performSurgery, type SurgeryOptions, type SurgeryReport } from "./surgery.ts";
export { type StepPosition, type StepReport, TrainStep, type TrainStepSpec } from "./train-step.ts";
