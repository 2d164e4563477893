// For tests: small training runs on text that can be learnt, the same in every process.
import { type TrainInput, trainConfig } from "@caramba/config";
import { MemoryTokens, TokenBatches } from "@caramba/data";
import { buildModel, type Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";
import { type RunContext, RunStore, type RunStoreOptions, runTraining, type TrainListener } from "../src/index.ts";

export const vocabSize = 17;

/** The tokens of a text with structure: each follows from the two before it. */
export const tokens: Int32Array = (() => {
  const ids = new Int32Array(600);
  ids[1] = 1;
  for (let i = 2; i < ids.length; i++)
    ids[i] = (3 * (ids[i - 1] as number) + (ids[i - 2] as number) + (i % 5)) % vocabSize;
  return ids;
})();

const decoupled = { mode: "decoupled", nKvHeads: 1, semDim: 4, geoDim: 8, attnDim: 8 } as const;

/** A two-block model, its attention plain (a teacher) or decoupled (a student); dropout acts while training. */
export function tinyModel(kind: "teacher" | "student", seed = 1, dropout = 0.1): Model {
  return buildModel(
    {
      embedder: { type: "token", vocabSize, dModel: 16 },
      topology: {
        type: "StackedTopology",
        layers: [
          {
            type: "NestedTopology",
            repeat: 2,
            layers: [
              {
                type: "ResidualTopology",
                layers: [
                  { type: "RMSNormLayer", dModel: 16 },
                  {
                    type: "AttentionLayer",
                    dModel: 16,
                    nHeads: 2,
                    ...(kind === "student" ? decoupled : { nKvHeads: 1 }),
                  },
                  { type: "DropoutLayer", p: dropout },
                ],
              },
              {
                type: "ResidualTopology",
                layers: [
                  { type: "RMSNormLayer", dModel: 16 },
                  { type: "SwiGLULayer", dModel: 16, dFf: 24, bias: false },
                ],
              },
            ],
          },
          { type: "RMSNormLayer", dModel: 16 },
        ],
      },
    },
    { seed },
  );
}

/** What a run is made of, where it differs from the usual. */
export interface TinyRun {
  readonly backend: Backend;
  readonly model: Model;
  readonly teacher?: Model | null;
  readonly train: Pick<TrainInput, "phase"> & Partial<TrainInput>;
  readonly steps: number;
  /** Folder of checkpoints; without one nothing is saved. */
  readonly folder?: string;
  readonly store?: Partial<RunStoreOptions>;
  readonly signal?: AbortSignal;
  readonly onEvent?: RunContext["onEvent"];
}

export function tinyRun({
  backend,
  model,
  teacher,
  train,
  steps,
  folder,
  store,
  signal,
  onEvent,
}: TinyRun): RunContext {
  const config = trainConfig({ batchSize: 2, blockSize: 8, lr: 5e-3, saveEvery: 2, evalIters: 0, ...train });
  const { batchSize, blockSize, phase } = config;
  const [seed, runId] = [3, "tiny"];
  const source = new MemoryTokens(tokens);
  return {
    model,
    teacher: teacher ?? null,
    backend,
    train: config,
    steps,
    seed,
    batches: new TokenBatches({ source, blockSize, batchSize, seed, vocabSize }),
    validation: null,
    store: folder
      ? new RunStore(model, {
          folder,
          runId,
          phase,
          seed,
          dataHash: "data",
          tokenizer: null,
          settings: JSON.stringify([config, steps]),
          ...store,
        })
      : null,
    runId,
    onEvent: onEvent ?? (() => {}),
    signal: signal ?? null,
  };
}

/** A student through a standard and then a blockwise phase, each with checkpoints after every second step. */
export async function trainInPhases(backend: Backend, folder: string, onEvent: TrainListener): Promise<void> {
  const model = tinyModel("student");
  const shared = { backend, model, teacher: tinyModel("teacher", 7), folder, onEvent };
  const schedule = { warmupSteps: 3, scheduler: "cosine" } as const;
  await runTraining(tinyRun({ ...shared, train: { phase: "standard", ...schedule }, steps: 60 }));
  await runTraining(tinyRun({ ...shared, train: { phase: "blockwise", ...schedule }, steps: 40 }));
}
