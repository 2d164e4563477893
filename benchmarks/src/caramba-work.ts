// Caramba's side of each case, through the public packages alone: a training step, a prefill, a decoded token.
import { openModel } from "@caramba/experiment";
import { Decoder } from "@caramba/infer";
import { buildModel, type Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";
import { languageLoss, TrainStep } from "@caramba/trainer";
import type { Case, ModelSize } from "./cases.ts";
import { fixedTokens, fixedWeights, targetsOf } from "./fixed-values.ts";

/** One measured run: its time, and the loss or the first eight logits. */
export interface Measured {
  readonly ms: number;
  readonly check: readonly number[];
}

/** A case ready to be run over and over. */
export interface Work {
  run(): Promise<Measured>;
  /** Milliseconds of parts of the set-up. */
  readonly parts: Readonly<Record<string, number>>;
}

/** The Llama of a case, with the weights every peer begins with. */
export function fixedLlama(c: ModelSize): Model {
  const { dModel, nLayers, nHeads, nKvHeads, dFf, vocab } = c;
  const norm = { type: "RMSNormLayer", dModel } as const;
  const attention = { type: "AttentionLayer", mode: "gqa", dModel, nHeads, nKvHeads } as const;
  const feedForward = { type: "SwiGLULayer", dModel, dFf, bias: false } as const;
  const model = buildModel({
    embedder: { type: "token", vocabSize: vocab, dModel },
    tiedEmbeddings: false,
    topology: {
      type: "StackedTopology",
      layers: [
        {
          type: "NestedTopology",
          repeat: nLayers,
          layers: [
            { type: "ResidualTopology", layers: [norm, attention] },
            { type: "ResidualTopology", layers: [norm, feedForward] },
          ],
        },
        norm,
        { type: "LinearLayer", dIn: dModel, dOut: vocab, bias: false },
      ],
    },
  });
  const matrices = [...model.variables().values()].filter((v) => v.shape.length === 2);
  matrices.forEach((variable, index) => {
    const bound = index === 0 ? 0.02 * Math.sqrt(3) : (variable.shape[0] as number) ** -0.5;
    variable.write(fixedWeights(index, variable.shape, bound));
  });
  return model;
}

async function timed<T>(job: () => T | Promise<T>): Promise<readonly [T, number]> {
  const begin = performance.now();
  const value = await job();
  return [value, performance.now() - begin];
}

async function trainWork(c: Case, backend: Backend): Promise<Work> {
  const model = fixedLlama(c);
  const [{ loss }, traceMs] = await timed(() =>
    languageLoss(model, {
      batchSize: c.batch,
      blockSize: c.length,
      kdWeight: 0,
      kdTemperature: 1,
      teacher: null,
    }),
  );
  const [trainStep, compileMs] = await timed(() =>
    TrainStep.compile({
      backend,
      loss,
      parameters: model.trainable(),
      settings: {
        optimizer: "adamw",
        weightDecay: 0.1,
        adamBeta1: 0.9,
        adamBeta2: 0.95,
        adamEps: 1e-8,
        gradientAccumulationSteps: 1,
      },
      clipNorm: 0,
    }),
  );
  let step = 0;
  return {
    parts: { traceMs, compileMs },
    run: async () => {
      const tokens = fixedTokens(step, c.batch, c.length, c.vocab);
      const targets = targetsOf(tokens, c.vocab);
      const [report, ms] = await timed(() => trainStep.run([{ tokens, targets }], { step, lr: 1e-3, seed: 0 }));
      step++;
      return { ms, check: [report.loss] };
    },
  };
}

/** The model of a case on the backend, and how long reading it took. */
async function modelOf(c: Case, backend: Backend): Promise<readonly [Model, Readonly<Record<string, number>>]> {
  const { checkpoint } = c;
  if (checkpoint === undefined) return [fixedLlama(c), {}];
  const [{ model }, loadMs] = await timed(async () => {
    const opened = await openModel(checkpoint, null);
    for (const variable of opened.model.variables().values()) await variable.bufferOn(backend);
    return opened;
  });
  return [model, { loadMs }];
}

async function prefillWork(c: Case, backend: Backend): Promise<Work> {
  const [model, parts] = await modelOf(c, backend);
  const decoder = await Decoder.open(model, { backend, storage: "fp32", maxSeqLen: c.length });
  const tokens = fixedTokens(0, 1, c.length, c.vocab);
  return {
    parts,
    run: async () => {
      decoder.reset();
      const [logits, ms] = await timed(() => decoder.feed(tokens));
      return { ms, check: [...logits.subarray(0, 8)] };
    },
  };
}

async function decodeWork(c: Case, backend: Backend): Promise<Work> {
  const maxSeqLen = c.length + c.decodeSteps;
  const [model, parts] = await modelOf(c, backend);
  const decoder = await Decoder.open(model, { backend, storage: "fp32", maxSeqLen });
  // The static cache of a peer is allocated at its full length, so this one is too.
  decoder.cache.reserve(maxSeqLen);
  await decoder.feed(fixedTokens(0, 1, c.length, c.vocab));
  let offset = 0;
  return {
    parts,
    run: async () => {
      if (offset >= c.decodeSteps) {
        decoder.rollback(offset);
        offset = 0;
      }
      const token = Int32Array.of((5 + offset) % c.vocab);
      const [logits, ms] = await timed(() => decoder.feed(token));
      offset++;
      return { ms, check: [...logits.subarray(0, 8)] };
    },
  };
}

/** Builds a case on a backend. */
export function prepareWork(c: Case, backend: Backend): Promise<Work> {
  return { train: trainWork, prefill: prefillWork, decode: decodeWork }[c.kind](c, backend);
}
