// What an experiment tells while it runs. Consumers draw progress, write logs, or ignore it.
import type { TrainEvent } from "@caramba/trainer";

/** Stages of the pipeline, in order. */
export type Stage = "data" | "build" | "train" | "verify" | "benchmark" | "artifacts";

/** One thing that happened. */
export type ExperimentEvent =
  | { readonly type: "stage"; readonly stage: Stage; readonly target: string; readonly detail: string }
  | {
      readonly type: "progress";
      readonly stage: Stage;
      readonly target: string;
      readonly detail: string;
      readonly done: number;
      readonly total: number;
    }
  | {
      /** A model of the Hub on its way into the cache: bytes of all its files together. */
      readonly type: "download";
      readonly target: string;
      /** `org/name@revision`. */
      readonly model: string;
      readonly file: string;
      readonly done: number;
      readonly total: number;
      readonly bytesPerSecond: number;
    }
  | { readonly type: "train"; readonly target: string; readonly event: TrainEvent }
  | { readonly type: "note"; readonly message: string };

/** Receives events. */
export type ExperimentListener = (event: ExperimentEvent) => void;
