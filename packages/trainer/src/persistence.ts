// Saving and restoring a run. A checkpoint holds the model, the optimizer's states and the step: batches, rates and
// random draws are functions of the step, so that nothing else is needed to go on byte-equal.
import {
  type Checkpoint,
  type CheckpointState,
  checkpointName,
  type DeferredTensor,
  latestCheckpoint,
  loadCheckpoint,
  type OptimizerTensors,
  restore,
  saveCheckpoint,
  tensorsOf,
} from "@caramba/loader";
import type { Model } from "@caramba/model";
import { CarambaError } from "@caramba/tensor";
import type { Optimizer } from "./optimizer.ts";

/** Where a run's checkpoints live and what they must agree with. */
export interface RunStoreOptions {
  /** Folder of the session's checkpoints. */
  readonly folder: string;
  readonly runId: string;
  readonly phase: string;
  readonly seed: number;
  /** Identifies the training data; a checkpoint of other data is not resumed. */
  readonly dataHash: string | null;
  /** Specification of the tokenizer (a path or name), kept for inference. */
  readonly tokenizer: string | null;
  /** Identifies the run's settings; a checkpoint made with others is not resumed. */
  readonly settings: string;
}

/** Progress to be saved. */
export interface Progress {
  readonly step: number;
  readonly blockIndex: number | null;
  readonly blockStep: number | null;
  readonly final: boolean;
}

/** A restored position, with the optimizer states still to be handed to the optimizer. */
export interface Restored extends Progress {
  readonly optimizer: OptimizerTensors | null;
}

/** The checkpoints of one run. */
export class RunStore {
  readonly options: RunStoreOptions;
  readonly #model: Model;

  constructor(model: Model, options: RunStoreOptions) {
    this.#model = model;
    this.options = options;
  }

  /** Saves durably; keeps the two latest besides the final one. Returns the path. */
  async save(progress: Progress, optimizer: Optimizer | null): Promise<string> {
    const { folder, runId, phase, seed, dataHash, tokenizer, settings } = this.options;
    const state: CheckpointState<unknown> = {
      runId,
      phase,
      step: progress.step,
      globalStep: progress.step,
      blockIndex: progress.blockIndex,
      blockStep: progress.blockStep,
      final: progress.final,
      modelConfig: this.#model.config,
      tokenizer,
      seed,
      dataHash,
      schedule: { settings },
    };
    const checkpoint: Checkpoint<DeferredTensor, unknown> = {
      state,
      model: tensorsOf(this.#model.variables()),
      ...(optimizer && !progress.final ? { optimizer: { m: tensorsOf(optimizer.m), v: tensorsOf(optimizer.v) } } : {}),
    };
    const path = await saveCheckpoint(folder, checkpoint, { keepLast: 2 });
    return path;
  }

  /** Loads the latest checkpoint of this run into the model; null where there is none. */
  async resume(): Promise<(Restored & { readonly path: string }) | null> {
    const { folder, runId, phase, dataHash, settings } = this.options;
    const latest = await latestCheckpoint(folder, runId, phase);
    if (!latest) return null;
    const { path, state } = latest;
    const schedule = state.schedule as { settings?: unknown } | null;
    const differs =
      state.dataHash !== dataHash
        ? "its training data is another"
        : schedule?.settings !== settings
          ? "its settings are others"
          : null;
    if (differs)
      throw new CarambaError(`${path} cannot be resumed: ${differs}`, {
        code: "checkpoint-mismatch",
        remedy: "delete it (or run in another folder) to start anew, or restore the manifest and data it was made with",
      });
    const { model, optimizer } = await loadCheckpoint(path);
    restore(this.#model.variables(), model, path);
    return {
      path,
      step: state.step,
      blockIndex: state.blockIndex,
      blockStep: state.blockStep,
      final: state.final,
      optimizer: optimizer ?? null,
    };
  }

  /** File name a final checkpoint has. */
  get finalName(): string {
    const { runId, phase } = this.options;
    return checkpointName({ runId, phase, step: 0, blockIndex: null, blockStep: null, final: true });
  }
}

/** Loads the model tensors of a checkpoint file. */
export async function loadModelTensors(model: Model, path: string): Promise<void> {
  const { model: tensors } = await loadCheckpoint(path, { optimizer: false });
  restore(model.variables(), tensors, path);
}
