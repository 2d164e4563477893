// A plausible report for the tests and for looking at the charts: a GQA teacher and a DBA student of quick-start size.
// Not measured; the numbers are consistent with each other (exp(crossEntropy) = perplexity, totals are sums).

import type {
  ExperimentReport,
  LatencyRow,
  MemoryRow,
  ModelFacts,
  PerplexityRow,
  TrainingPoint,
} from "../src/index.ts";

const PROMPTS = [64, 128, 256, 512, 1024];
const KINDS = { fp32: 4, fp16: 2, q8: 1.0625, q4: 0.5625 };

function facts(name: string, parameters: number, elements: number, keys: number): ModelFacts {
  const bytes = Object.entries(KINDS).map(([kind, size]) => [kind, elements * size] as const);
  return {
    name,
    parameters,
    kvElementsPerToken: elements,
    kOnlyElementsPerToken: keys,
    kvBytesPerToken: Object.fromEntries(bytes),
    flopsPerToken: 2 * parameters,
  };
}

function perplexity(model: string, crossEntropy: number): PerplexityRow {
  const stdErr = 0.011;
  return {
    model,
    perplexity: Math.exp(crossEntropy),
    crossEntropy,
    numBatches: 100,
    numTokens: 102_400,
    blockSize: 256,
    stdErr,
    ciLow: Math.exp(crossEntropy - 1.96 * stdErr),
    ciHigh: Math.exp(crossEntropy + 1.96 * stdErr),
  };
}

function latency(model: string, promptLen: number, genLen: number, slowness: number): LatencyRow {
  const prefillMs = promptLen * 0.031 * slowness;
  const itl = (1.6 + promptLen * 0.0011) * slowness;
  const decodeMs = itl * (genLen - 1);
  const totalMs = prefillMs + decodeMs;
  return {
    model,
    promptLen,
    genLen,
    batchSize: 1,
    tokensPerSec: (1000 * genLen) / totalMs,
    prefillMs,
    decodeMs,
    totalMs,
    ttftMs: prefillMs,
    decodeTokensPerSec: 1000 / itl,
    prefillTokensPerSec: (1000 * promptLen) / prefillMs,
    itlP50Ms: itl * 0.98,
    itlP95Ms: itl * 1.2,
    itlP99Ms: itl * 1.5,
    stdMs: totalMs * 0.03,
    minMs: totalMs * 0.96,
    maxMs: totalMs * 1.07,
    n: 10,
    cacheKind: "fp16",
    useCache: true,
  };
}

function memory(model: string, elements: number): MemoryRow[] {
  return [512, 1024, 2048, 4096].flatMap((seqLen) =>
    (["fp16", "q8", "q4"] as const).map((quantization): MemoryRow => {
      const kvcacheMb = (seqLen * elements * KINDS[quantization]) / 2 ** 20;
      return {
        model,
        seqLen,
        batchSize: 1,
        quantization,
        kvcacheMb,
        kvcacheMeasuredMb: kvcacheMb,
        peakMb: 240 + kvcacheMb,
        modelMb: 14.5,
      };
    }),
  );
}

function curve(run: string, phase: string, steps: number, from: number, to: number): TrainingPoint[] {
  return Array.from({ length: steps }, (_, step): TrainingPoint => {
    const wave = 0.05 * Math.sin(step * 1.7) + 0.04 * Math.sin(step * 5.3);
    const loss = to + (from - to) * Math.exp((-5 * step) / steps) + (wave * (from - to)) / 3;
    return {
      run,
      phase,
      step,
      loss,
      lr: 1e-3,
      tokPerSec: 11_000 + 300 * wave,
      valLoss: step % Math.ceil(steps / 8) === 0 ? loss * 1.03 : null,
    };
  });
}

/** The example report. */
export function exampleReport(): ExperimentReport {
  return {
    metadata: {
      name: "quickstart",
      timestamp: "2026-01-07T12:34:56.789Z",
      manifestPath: "presets/quickstart.yml",
      manifestHash: "sha256:0f1e2d",
      teacherCheckpoint: "runs/quickstart/teacher.safetensors",
      studentConfig: "DBA sem 32, geo 64, v 64",
      device: "cpu (2 threads)",
      notes: null,
      seeds: [42],
      versions: {
        caramba: "0.1.0",
        node: "v20.20.2",
        backend: "onnx",
        backendVersion: "1.23.2",
        os: "linux x64",
        cpu: "Example CPU",
      },
      dataHash: "sha256:aa",
      tokenizerHash: "sha256:bb",
    },
    models: [facts("teacher", 3_640_000, 1024, 512), facts("student", 3_410_000, 640, 384)],
    perplexity: [perplexity("teacher", Math.log(8.42)), perplexity("student", Math.log(8.76))],
    comparison: {
      ratio: 8.76 / 8.42,
      ciLow: 1.021,
      ciHigh: 1.059,
      confidence: 0.95,
      method: "paired t interval over windows",
      nWindows: 400,
    },
    latency: ["teacher", "student"].flatMap((model) =>
      PROMPTS.flatMap((promptLen) =>
        [32, 64].map((genLen) => latency(model, promptLen, genLen, model === "teacher" ? 1 : 0.82)),
      ),
    ),
    memory: [...memory("teacher", 1024), ...memory("student", 640)],
    training: [
      ...curve("teacher", "standard", 400, 8.1, 2.1),
      ...curve("student", "blockwise", 160, 0.4, 0.05),
      ...curve("student", "global", 200, 2.9, 2.2),
    ],
    verification: [
      {
        run: "student",
        type: "compare",
        passed: true,
        metrics: { attention_max_abs: 0.031, logits_mean_abs: 0.12 },
        violations: [],
      },
      {
        run: "student",
        type: "fidelity",
        passed: true,
        metrics: { ppl_ratio: 1.04, delta_nll: -0.0012 },
        violations: [],
      },
    ],
    samples: [
      { model: "teacher", prompt: "export function", completion: " readFile(path: string): Promise<Buffer>;" },
      { model: "student", prompt: "export function", completion: " readdir(path: string): Promise<string[]>;" },
    ],
  };
}
