// One training run of a target: its batches, its held-out windows, its checkpoints, its log.
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Run, Target, TrainConfig } from "@caramba/config";
import { TokenBatches } from "@caramba/data";
import { WindowScorer } from "@caramba/eval";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError } from "@caramba/tensor";
import { type RunOutcome, RunStore, runTraining, type Validation } from "@caramba/trainer";
import type { ExperimentListener } from "./events.ts";
import type { TargetText } from "./open-data.ts";
import type { TrainingLog } from "./training-log.ts";

/** What a run is trained in. */
export interface TrainRunContext {
  readonly target: Target;
  readonly student: Model;
  readonly teacher: Model | null;
  readonly backend: Backend;
  readonly text: TargetText;
  readonly vocabSize: number;
  /** Identifies the teacher's weights. */
  readonly teacherHash: string | null;
  /** Of the target's checkpoints. */
  readonly folder: string;
  readonly log: TrainingLog;
  readonly onEvent: ExperimentListener;
  readonly signal: AbortSignal | null;
}

/** Trains to the end of the run or to an abort, going on from the latest checkpoint. */
export async function trainRun(run: Run, train: TrainConfig, context: TrainRunContext): Promise<RunOutcome> {
  const { target, student, teacher, teacherHash, backend, text, vocabSize, folder, log, onEvent, signal } = context;
  onEvent({ type: "stage", stage: "train", target: target.name, detail: run.id });
  const store = new RunStore(student, {
    folder,
    runId: run.id,
    phase: train.phase,
    seed: run.seed,
    dataHash: text.hash,
    tokenizer: text.tokenizerSpec,
    settings: settingsHash(target, run, text.hash, teacherHash),
  });
  const validation = await openValidation(student, backend, train, text);
  let started = false;
  try {
    const outcome = await runTraining({
      model: student,
      teacher,
      backend,
      train,
      steps: run.steps,
      seed: run.seed,
      batches: batchesOf(text, train, run.seed, vocabSize),
      validation,
      store,
      runId: run.id,
      signal,
      onEvent: (event) => {
        if (!started && event.step > 1) note(onEvent, run, `resumed from step ${event.step - 1}`);
        started = true;
        log.add(event);
        onEvent({ type: "train", target: target.name, event });
      },
    });
    if (outcome.status === "skipped") note(onEvent, run, `already finished at step ${outcome.step}`);
    return outcome;
  } catch (error) {
    throw diverged(error, run, train, context);
  } finally {
    validation?.scorer.dispose();
    log.flush();
  }
}

function note(onEvent: ExperimentListener, run: Run, what: string): void {
  onEvent({ type: "note", message: `${run.id}: ${what}` });
}

/** A run that diverged says which one it was, and what to clear away: its checkpoints belong to the settings that failed. */
function diverged(error: unknown, run: Run, { phase }: TrainConfig, { target, folder }: TrainRunContext): unknown {
  if (!(error instanceof CarambaError) || error.code !== "nan") return error;
  return new CarambaError(`target "${target.name}", run "${run.id}": ${error.message}`, {
    code: "nan",
    remedy: `lower lr, raise warmup_steps or set grad_clip_norm; then delete ${join(folder, `${run.id}_${phase}_*`)} (made with the settings that failed) and run again`,
    cause: error,
  });
}

/** Training batches of a run. */
export function batchesOf(text: TargetText, train: TrainConfig, seed: number, vocabSize: number): TokenBatches {
  const { batchSize, blockSize } = train;
  return new TokenBatches({ source: text.source, range: text.split.train, blockSize, batchSize, seed, vocabSize });
}

async function openValidation(
  model: Model,
  backend: Backend,
  train: TrainConfig,
  text: TargetText,
): Promise<Validation | null> {
  if (!text.split.val || train.phase === "blockwise" || train.evalIters === 0) return null;
  const { batchSize, blockSize, evalBatches } = train;
  const windows = text.windows({ blockSize, count: evalBatches * batchSize, split: "val" });
  return { ...windows, scorer: await WindowScorer.open(model, { backend, batchSize, blockSize }) };
}

/** Whatever changes a run's result: its own settings, the model, the data, and the runs before it. */
function settingsHash(target: Target, run: Run, dataHash: string, teacherHash: string | null): string {
  const before = target.runs.slice(0, target.runs.indexOf(run) + 1);
  const relevant = before.map(({ id, seed, steps, train }) => ({ id, seed, steps, train: train && settingsOf(train) }));
  return createHash("sha256")
    .update(JSON.stringify({ relevant, model: target.model, data: target.data.valFrac, dataHash, teacherHash }))
    .digest("hex");
}

/** Settings without those that only say how often to save, where to compute or where the teacher lies. */
function settingsOf(train: TrainConfig): Partial<TrainConfig> {
  const { saveEvery, evalIters, evalBatches, device, autoResume, skipIfFinal, teacherCkpt, initCkpt, ...rest } = train;
  return rest;
}
