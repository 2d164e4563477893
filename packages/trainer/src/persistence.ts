// Saving and restoring a run. A checkpoint holds the model, the optimizer's states and the step: batches, rates and
// random draws are functions of the step, so that nothing else is needed to go on byte-equal.
import { rm } from "node:fs/promises";
import type { TrainConfig } from "@caramba/config";
import {
  type Checkpoint,
  type CheckpointState,
  type DeferredTensor,
  findCheckpoints,
  type GoodCheckpoint,
  latestCheckpoint,
  loadCheckpoint,
  type OptimizerTensors,
  restore,
  type SaveCheckpointOptions,
  saveCheckpoint,
  tensorsOf,
} from "@caramba/loader";
import type { Model } from "@caramba/model";
import { CarambaError, type Variable } from "@caramba/tensor";
import { type AutotuneState, readAutotune } from "./autotune.ts";
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
  /** Creates files; for tests. */
  readonly create?: SaveCheckpointOptions["create"];
}

/** Progress to be saved. */
export interface Progress {
  readonly step: number;
  readonly blockIndex: number | null;
  readonly blockStep: number | null;
  readonly final: boolean;
  /** Blockwise, where the loss is watched: what is remembered of it. */
  readonly autotune?: AutotuneState | null;
}

/** A restored position, with the optimizer states still to be handed to the optimizer. */
export interface Restored extends Progress {
  readonly optimizer: OptimizerTensors | null;
}

/** The checkpoints of one run. */
export class RunStore {
  readonly options: RunStoreOptions;
  readonly #model: Model;
  /** Checkpoints of an earlier run that this one replaces: they go once it has one of its own. */
  #replaced: readonly string[] = [];

  constructor(model: Model, options: RunStoreOptions) {
    this.#model = model;
    this.options = options;
  }

  /**
   * Saves durably; keeps the two latest besides the final one. Returns the path.
   * @throws CarambaError `nan` when a value is not finite (nothing is then written), and as `saveCheckpoint`.
   */
  async save(progress: Progress, optimizer: Optimizer | null): Promise<string> {
    const { folder, runId, phase, seed, dataHash, tokenizer, settings, create } = this.options;
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
      schedule: { settings, ...(progress.autotune ? { autotune: progress.autotune } : {}) },
    };
    const checkpoint: Checkpoint<DeferredTensor, unknown> = {
      state,
      model: finite(this.#model.variables(), progress.step),
      ...(optimizer && !progress.final
        ? { optimizer: { m: finite(optimizer.m, progress.step), v: finite(optimizer.v, progress.step) } }
        : {}),
    };
    const replaced = this.#replaced;
    const path = await saveCheckpoint(folder, checkpoint, {
      // Pruning would take the replaced run's later steps for the newer ones.
      ...(replaced.length > 0 ? {} : { keepLast: 2 }),
      ...(create ? { create } : {}),
    });
    for (const old of replaced) if (old !== path) await rm(old, { force: true });
    this.#replaced = [];
    return path;
  }

  /**
   * Where a run begins: at its latest checkpoint, now loaded into the model, or (null) at step 0. A final checkpoint is
   * loaded only if `skipIfFinal`; otherwise, and without `autoResume`, the run starts anew, and what an earlier one left
   * is replaced when this one saves its first checkpoint.
   * @throws CarambaError `checkpoint-mismatch` for a checkpoint of other settings, data or shapes.
   */
  async begin({
    autoResume,
    skipIfFinal,
  }: Pick<TrainConfig, "autoResume" | "skipIfFinal">): Promise<(Restored & { readonly path: string }) | null> {
    const { folder, runId, phase } = this.options;
    const latest = autoResume ? await latestCheckpoint(folder, runId, phase) : undefined;
    if (latest && (skipIfFinal || !latest.state.final)) return this.#resume(latest);
    this.#replaced = (await findCheckpoints(folder, runId, phase)).map(({ path }) => path);
    return null;
  }

  /** Loads a checkpoint of this run into the model. */
  async #resume({ path, state }: GoodCheckpoint): Promise<Restored & { readonly path: string }> {
    const { dataHash, settings } = this.options;
    const schedule = state.schedule as { settings?: unknown; autotune?: unknown } | null;
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
      autotune: readAutotune(schedule?.autotune),
      optimizer: optimizer ?? null,
    };
  }
}

/** Variables as tensors to be saved, refused where one is not finite: the last good checkpoint then stays the latest. */
function finite(variables: ReadonlyMap<string, Variable>, step: number): Record<string, DeferredTensor> {
  const checked = (name: string, { dtype, shape, load }: DeferredTensor): DeferredTensor => ({
    dtype,
    shape,
    load: async () => {
      const data = await load();
      if (data instanceof Float32Array && !data.every(Number.isFinite))
        throw new CarambaError(`training diverged: ${name} holds values that are not finite after step ${step}`, {
          code: "nan",
          remedy: "lower lr or set grad_clip_norm, then run again: it resumes from the last checkpoint",
        });
      return data;
    },
  });
  return Object.fromEntries(Object.entries(tensorsOf(variables)).map(([name, t]) => [name, checked(name, t)]));
}

/** Loads the model tensors of a checkpoint file. */
export async function loadModelTensors(model: Model, path: string): Promise<void> {
  const { model: tensors } = await loadCheckpoint(path, { optimizer: false });
  restore(model.variables(), tensors, path);
}
