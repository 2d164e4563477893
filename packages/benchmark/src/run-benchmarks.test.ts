import { type BenchmarkSpecInput, benchmarkSpec } from "@caramba/config";
import { MemoryTokens, splitTokens } from "@caramba/data";
import type { Model } from "@caramba/model";
import { ReferenceBackend } from "@caramba/tensor";
import { expect, test } from "vitest";
import { SpiedTokens, tinyModel } from "../test-support/models.ts";
import { BaseBenchmark, type BenchmarkResult } from "./base-benchmark.ts";
import { type BenchmarkContext, runBenchmarks } from "./run-benchmarks.ts";

const backend = new ReferenceBackend();
const ids = Int32Array.from({ length: 600 }, (_, i) => (i * i + (i >> 3)) % 11);

function context(change: Partial<BenchmarkContext> = {}): BenchmarkContext {
  return {
    models: { teacher: tinyModel(), student: tinyModel({ attention: { mode: "gqa", nKvHeads: 2 }, seed: 4 }) },
    backend,
    tokens: new MemoryTokens(ids),
    split: splitTokens(ids.length, 0.3, 16),
    ...change,
  };
}
const specs = (...inputs: BenchmarkSpecInput[]) => inputs.map((input) => benchmarkSpec(input));
const perplexity: BenchmarkSpecInput = { id: "ppl", config: { type: "perplexity", blockSize: 16, numBatches: 4 } };
const latency: BenchmarkSpecInput = {
  id: "speed",
  config: { type: "latency", promptLengths: [3], generationLengths: [3], warmupRuns: 1, timedRuns: 2 },
  repeats: 2,
};
const memory: BenchmarkSpecInput = {
  id: "mem",
  config: { type: "memory", sequenceLengths: [8], quantizationModes: ["fp16", "q8_0"] },
};

test("all three on both models, with a paired comparison", async () => {
  const progress: string[] = [];
  const results = await runBenchmarks(specs(perplexity, latency, memory), {
    ...context(),
    onProgress: ({ benchmark, done, total }) => progress.push(`${benchmark} ${done}/${total}`),
  });
  expect(results.perplexity.map((row) => [row.model, row.benchmark, row.numTokens])).toEqual([
    ["teacher", "ppl", 64],
    ["student", "ppl", 64],
  ]);
  const [teacher, student] = results.perplexity;
  expect(results.comparison).toMatchObject({ benchmark: "ppl", nWindows: 4, confidence: 0.95 });
  expect(results.comparison?.ratio).toBeCloseTo((student?.perplexity as number) / (teacher?.perplexity as number), 9);
  expect(results.latency).toHaveLength(2);
  expect(results.latency[0]).toMatchObject({ n: 4, benchmark: "speed" });
  expect(results.latency[0]?.repeatStdMs).not.toBeNull();
  expect(results.memory).toHaveLength(4);
  expect(results.entries).toHaveLength(6);
  expect(results.entries.every((entry) => entry.status === "done")).toBe(true);
  expect(results.warnings).toContain("mem: cache kind q8_0 is not built yet: its size is computed, not measured");
  expect(progress).toEqual(expect.arrayContaining(["ppl 2/2", "speed 12/12", "mem 4/4"]));
});

test("a model that is not there is reported", async () => {
  const results = await runBenchmarks(specs(perplexity), context({ models: { student: tinyModel(), teacher: null } }));
  expect(results.perplexity).toHaveLength(1);
  expect(results.comparison).toBeNull();
  expect(results.entries).toMatchObject([
    { model: "teacher", status: "skipped", message: "there is no teacher to measure" },
    { model: "student", status: "done" },
  ]);
  expect(results.warnings).toEqual(["ppl: there is no teacher to measure"]);
});

test("types and options that are not built end it before anything runs", async () => {
  const tokens = new SpiedTokens(ids);
  const run = (input: BenchmarkSpecInput, change: Partial<BenchmarkContext> = {}) =>
    runBenchmarks(specs(perplexity, input), context({ tokens, ...change }));
  const accuracy: BenchmarkSpecInput = { id: "acc", config: { type: "accuracy", tasks: ["piqa"] } };
  await expect(run(accuracy)).rejects.toMatchObject({
    code: "unsupported",
    message: 'benchmark "acc": type accuracy is not supported yet',
  });
  await expect(run({ id: "adversarial" })).rejects.toThrow(/type suite is not supported yet/);
  await expect(run({ id: "q", config: { type: "latency", cacheKind: "q4_0" } })).rejects.toThrow(/cache kind q4_0/);
  await expect(run({ id: "c", config: { type: "memory", checkpoint: "x" } })).rejects.toThrow(/checkpoint is not/);
  await expect(run({ id: "ppl", config: { type: "memory" } })).rejects.toThrow(/two benchmarks "ppl"/);
  await expect(run(memory, { tokens: null })).rejects.toThrow(/"ppl" has no text/);
  expect(tokens.reads).toEqual([]);
});

test("the target's own data under any of its names is measured on its held-out part, another file whole", async () => {
  const tokens = new SpiedTokens(ids, "data/own.npy");
  for (const dataset of ["own.npy", "data/own.npy", "./data/../data/own.npy", "named"]) {
    tokens.reads.length = 0;
    const config = { type: "perplexity" as const, blockSize: 16, numBatches: 4, dataset };
    await runBenchmarks(specs({ id: "ppl", config }), context({ tokens, dataPath: "named" }));
    expect(Math.min(...tokens.reads.map(([start]) => start))).toBe(420);
  }
  const config = { type: "perplexity" as const, blockSize: 16, dataset: "another.npy" };
  await expect(runBenchmarks(specs({ id: "ppl", config }), context({ tokens }))).rejects.toThrow(/another\.npy/);
});

test("a checkpoint is measured instead of the models", async () => {
  const loaded: string[] = [];
  const loadCheckpoint = (path: string): Promise<Model> => {
    loaded.push(path);
    return Promise.resolve(tinyModel());
  };
  const config = { type: "perplexity" as const, blockSize: 16, numBatches: 2, checkpoint: "runs/a" };
  const results = await runBenchmarks(specs({ id: "ppl", config }), context({ models: {}, loadCheckpoint }));
  expect(loaded).toEqual(["runs/a"]);
  expect(results.perplexity.map((row) => row.model)).toEqual(["runs/a"]);
  expect(results.warnings).toEqual([]);
});

class CustomBenchmark extends BaseBenchmark {
  static calls = 0;
  readonly factor: number;

  constructor(factor: number) {
    super();
    this.factor = factor;
  }

  run(model: Model): Promise<BenchmarkResult> {
    const score = this.factor * (model.vocabSize ?? 0) + (CustomBenchmark.calls++ % 2);
    return Promise.resolve({ benchmarkId: "custom", metrics: { score } });
  }
}

test("a benchmark of one's own, by type, with repeats and their spread", async () => {
  const extra = { custom: (config: object) => new CustomBenchmark((config as { factor: number }).factor) };
  const spec = { id: "mine", config: { type: "custom", factor: 2 }, models: ["student"] as const, repeats: 2 };
  const results = await runBenchmarks([spec], context({ extra }));
  expect(results.entries).toMatchObject([{ benchmark: "mine", type: "custom", model: "student", status: "done" }]);
  expect(results.entries[0]?.metrics["score"]).toBe(22.5);
  expect(results.entries[0]?.metrics["score_std"]).toBeCloseTo(Math.SQRT1_2, 12);
});

test("a signal ends the run with its reason", async () => {
  const stop = new AbortController();
  const onProgress = () => stop.abort(new Error("enough"));
  await expect(runBenchmarks(specs(latency), context({ onProgress, signal: stop.signal }))).rejects.toThrow("enough");
});
