// Learning-rate schedules: a factor on the base rate. Linear warm-up, then the rest of the run decays from 1 to
// `minLrRatio`, linearly or along a half cosine (Loshchilov and Hutter, "SGDR", 2017), or stays constant.
import type { SchedulerName } from "@caramba/config";

/** What a schedule depends on. */
export interface ScheduleOptions {
  readonly scheduler: SchedulerName;
  readonly warmupSteps: number;
  readonly minLrRatio: number;
  /** Steps of the whole run. */
  readonly totalSteps: number;
}

/** Factor on the learning rate at a step (0 is the first). */
export function learningRateFactor(step: number, options: ScheduleOptions): number {
  const { scheduler, warmupSteps, totalSteps } = options;
  if (scheduler === "none") return 1;
  if (step < warmupSteps) return Math.max(1e-8, (step + 1) / warmupSteps);
  if (scheduler === "constant") return 1;
  const floor = Math.min(1, Math.max(0, options.minLrRatio));
  const done = Math.min(1, Math.max(0, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps)));
  const shape = scheduler === "linear" ? 1 - done : 0.5 * (1 + Math.cos(Math.PI * done));
  return floor + (1 - floor) * shape;
}
