// The training loop of the standard and the global phase: next-token cross-entropy, optionally with distillation of a
// teacher's logits. Every step is a function of its number, so a run can be cut anywhere and go on.
import type { TrainConfig } from "@caramba/config";
import type { TokenBatches } from "@caramba/data";
import type { WindowScorer } from "@caramba/eval";
import { restore } from "@caramba/loader";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError, type SegmentOf } from "@caramba/tensor";
import { breathe, type TrainListener } from "./events.ts";
import { languageLoss } from "./loss.ts";
import type { RunStore } from "./persistence.ts";
import { learningRateFactor } from "./schedule.ts";
import { TrainStep } from "./train-step.ts";

/** Held-out windows that training is validated on. */
export interface Validation {
  readonly scorer: WindowScorer;
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
}

/** What every phase needs. */
export interface RunContext {
  readonly model: Model;
  readonly teacher: Model | null;
  readonly backend: Backend;
  readonly train: TrainConfig;
  /** Optimizer steps (blockwise: per block). */
  readonly steps: number;
  readonly seed: number;
  readonly batches: TokenBatches;
  readonly validation: Validation | null;
  /** Null: nothing is saved. */
  readonly store: RunStore | null;
  readonly runId: string;
  readonly onEvent: TrainListener;
  /** Aborting stops after the step at work, with a checkpoint. */
  readonly signal: AbortSignal | null;
}

/** How a run ended. */
export interface RunOutcome {
  readonly status: "finished" | "skipped" | "interrupted";
  /** Steps done in all. */
  readonly step: number;
  readonly finalLoss: number | null;
  readonly resumedFrom: number;
}

/** Mean held-out loss in nats per token. */
export async function validate({ scorer, tokens, targets }: Validation): Promise<number> {
  const sums = await scorer.scoreWindows(tokens, targets);
  return sums.reduce((a, b) => a + b, 0) / tokens.length;
}

/** What is recomputed in the backward pass: blocks, where that is asked for and their input reaches the threshold. */
export function checkpointedSegments(model: Model, train: TrainConfig): SegmentOf | null {
  return checkpointsActivations(model, train) ? blockOf : null;
}

function checkpointsActivations(model: Model, train: TrainConfig): boolean {
  if (!train.activationCheckpointing) return false;
  const width = model.config.embedder.type === "token" ? model.config.embedder.dModel : 0;
  const mebibytes = (train.batchSize * train.blockSize * width * 4) / 2 ** 20;
  return train.activationCheckpointThresholdMb <= 0 || mebibytes >= train.activationCheckpointThresholdMb;
}

/** The block a node belongs to: the second level of the topology, such as one residual branch, in each pass its own. */
const blockOf = (scope: string): string | undefined =>
  /^topology(?:(?:\.pass\.\d+)?\.(?:layers\.\d+|nodes\.\w+)){2}/.exec(scope)?.[0];

/** Trains with the language-model loss. */
export async function runLanguage(context: RunContext): Promise<RunOutcome> {
  const { model, teacher, backend, train, steps, seed, batches, store, signal } = context;
  if (train.kdWeight > 0 && !teacher)
    throw new CarambaError(`run "${context.runId}": kd_weight is ${train.kdWeight}, but there is no teacher`, {
      code: "teacher",
      remedy: "set train.teacher_ckpt, or kd_weight to 0",
    });
  const restored = await store?.begin(train);
  if (restored?.final) return { status: "skipped", step: restored.step, finalLoss: null, resumedFrom: restored.step };
  const first = restored?.step ?? 0;
  const { loss, parts } = languageLoss(model, {
    batchSize: train.batchSize,
    blockSize: train.blockSize,
    kdWeight: train.kdWeight,
    kdTemperature: train.kdTemperature,
    teacher,
  });
  const segmentOf = checkpointedSegments(model, train);
  const step = await TrainStep.compile({
    backend,
    loss,
    metrics: parts,
    parameters: model.trainable(),
    settings: train,
    clipNorm: train.gradClipNorm,
    ...(segmentOf ? { segmentOf } : {}),
  });
  if (restored?.optimizer) {
    restore(step.optimizer.m, restored.optimizer.m, restored.path);
    restore(step.optimizer.v, restored.optimizer.v, restored.path);
  }
  const micros = train.gradientAccumulationSteps;
  const tokensPerStep = micros * train.batchSize * train.blockSize;
  const schedule = { ...train, totalSteps: steps };
  const saveEvery = train.saveEvery ?? 100;
  const evalIters = train.evalIters ?? 50;
  let finalLoss: number | null = null;
  try {
    for (let n = first; n < steps; n++) {
      const start = performance.now();
      const feeds = Array.from({ length: micros }, (_, k) => {
        const { tokens, targets } = batches.batchAt(n * micros + k);
        return { tokens, targets };
      });
      const lr = train.lr * learningRateFactor(n, schedule);
      const report = await step.run(feeds, { step: n, lr, seed });
      finalLoss = report.loss;
      const seconds = (performance.now() - start) / 1000;
      const done = n + 1;
      const due = evalIters > 0 && (done % evalIters === 0 || done === steps);
      const valLoss = due && context.validation ? await validate(context.validation) : null;
      context.onEvent({
        runId: context.runId,
        phase: train.phase,
        step: done,
        totalSteps: steps,
        loss: report.loss,
        lr,
        tokensPerSecond: tokensPerStep / seconds,
        gradNorm: report.gradNorm,
        valLoss,
        blockIndex: null,
        metrics: report.metrics,
      });
      await breathe();
      const progress = { step: done, blockIndex: null, blockStep: null, final: false };
      if (signal?.aborted && done < steps) {
        await store?.save(progress, step.optimizer);
        return { status: "interrupted", step: done, finalLoss, resumedFrom: first };
      }
      if (done % saveEvery === 0 && done < steps) await store?.save(progress, step.optimizer);
    }
    await store?.save({ step: steps, blockIndex: null, blockStep: null, final: true }, null);
    return { status: "finished", step: steps, finalLoss, resumedFrom: first };
  } finally {
    step.dispose();
    for (const parameter of model.variables().values()) parameter.releaseSpare();
  }
}
