import { buildModel } from "@caramba/model";
import { ReferenceBackend } from "@caramba/tensor";
import { expect, test } from "vitest";
import { tinyModel } from "../test-support/models.ts";
import { compareLatency, LatencyBenchmark, latencyRow, measureCell, seededPrompt } from "./latency.ts";
import { openTimedModel, type TimedModel } from "./latency-request.ts";

const backend = new ReferenceBackend();

/** A model that costs known time on a clock of its own: 10 ms per prompt token, `step(n)` ms for the n-th decode step. */
function fake(clock: { now: number }, name: string, log: string[], step: (n: number) => number): TimedModel {
  let fed = 0;
  return {
    feed: (tokens) => {
      const prefill = fed === 0;
      log.push(`${name}:${prefill ? "prefill" : "step"}:${fed}`);
      clock.now += prefill ? tokens.length * 10 : step(++fed - 1);
      if (prefill) fed = 1;
      return Promise.resolve(new Float32Array(4));
    },
    reset: () => {
      fed = 0;
    },
    dispose: () => undefined,
  };
}

const request = { prompt: Int32Array.of(1, 2, 3), genLen: 5, batchSize: 1, vocabSize: 4 };
const cell = { promptLen: 3, genLen: 5, batchSize: 1 };
const about = { model: "m", cacheKind: "fp16", useCache: true, benchmark: "latency" };

test("by a clock: one prefill, gen_len - 1 steps, first token after prefill", async () => {
  const clock = { now: 1000 };
  const log: string[] = [];
  const model = fake(clock, "a", log, () => 5);
  const [times = []] = await measureCell([model], request, { warmupRuns: 0, timedRuns: 2, now: () => clock.now });
  expect(times).toEqual([
    { prefillMs: 30, stepMs: [5, 5, 5, 5], totalMs: 50 },
    { prefillMs: 30, stepMs: [5, 5, 5, 5], totalMs: 50 },
  ]);
  expect(log.filter((line) => line.startsWith("a:prefill"))).toHaveLength(2);
  const row = latencyRow(cell, [times], about);
  expect(row).toMatchObject({ prefillMs: 30, decodeMs: 20, totalMs: 50, ttftMs: 30, n: 2, stdMs: 0, itlSamples: 8 });
  expect(row.tokensPerSec).toBeCloseTo(5 / 0.05, 9);
  expect(row.decodeTokensPerSec).toBeCloseTo(4 / 0.02, 9);
  expect(row.prefillTokensPerSec).toBeCloseTo(3 / 0.03, 9);
});

test("models take turns, backwards every other round, and warm-up is not counted", async () => {
  const clock = { now: 0 };
  const log: string[] = [];
  let calls = 0;
  const slowStart = () => (calls++ < 8 ? 1000 : 1);
  const models = [fake(clock, "a", log, slowStart), fake(clock, "b", log, slowStart)];
  const options = { warmupRuns: 1, timedRuns: 2, now: () => clock.now };
  const times = await measureCell(models, request, options);
  const order = log.filter((line) => line.includes("prefill")).map((line) => line[0]);
  expect(order).toEqual(["b", "a", "a", "b", "b", "a"]);
  for (const runs of times)
    expect(runs.map((run) => run.stepMs)).toEqual([
      [1, 1, 1, 1],
      [1, 1, 1, 1],
    ]);
});

test("every run begins with an empty context", async () => {
  const log: string[] = [];
  const model = fake({ now: 0 }, "a", log, () => 1);
  await measureCell([model], request, { warmupRuns: 3, timedRuns: 10, now: () => 0 });
  expect(log.filter((line) => line === "a:prefill:0")).toHaveLength(13);
});

test("percentiles are over all steps of all runs, medians over runs, repeats are pooled", () => {
  const run = (prefillMs: number, stepMs: number[]) => ({
    prefillMs,
    stepMs,
    totalMs: prefillMs + stepMs.reduce((a, b) => a + b, 0),
  });
  const row = latencyRow(cell, [[run(10, [1, 2]), run(12, [3, 4])], [run(50, [5, 96])]], about);
  expect(row).toMatchObject({
    n: 3,
    prefillMs: 12,
    decodeMs: 7,
    itlSamples: 6,
    p99Reliable: false,
    minMs: 13,
    maxMs: 151,
  });
  expect(row.itlP50Ms).toBe(3.5);
  expect(row.itlP99Ms).toBeCloseTo(5 + 91 * 0.95, 9);
  // Medians of the repeats: 16 and 151.
  expect(row.repeatStdMs).toBeCloseTo(135 / Math.SQRT2, 9);
});

test("one generated token has no decode step, so no decode speed", () => {
  const row = latencyRow({ ...cell, genLen: 1 }, [[{ prefillMs: 10, stepMs: [], totalMs: 10 }]], about);
  expect(row).toMatchObject({ decodeTokensPerSec: null, itlP50Ms: null, itlP99Ms: null, stdMs: null, decodeMs: 0 });
  expect(row.tokensPerSec).toBeCloseTo(100, 9);
});

test("prompts depend on the cell and the seed alone", () => {
  expect(seededPrompt(1, cell, 9)).toEqual(seededPrompt(1, { ...cell, genLen: 99 }, 9));
  expect(seededPrompt(1, cell, 1000)).not.toEqual(seededPrompt(2, cell, 1000));
  expect(seededPrompt(1, { ...cell, batchSize: 2 }, 9)).toHaveLength(6);
  expect(Math.max(...seededPrompt(1, { ...cell, promptLen: 500 }, 9))).toBeLessThan(9);
});

test("cached and uncached models generate the same tokens from the same prompts", async () => {
  const model = tinyModel({ attention: { mode: "gqa", nKvHeads: 2 } });
  const fed = async (storage: "fp32" | null) => {
    const timed = await openTimedModel(model, { backend, batchSize: 2, maxSeqLen: 8, storage });
    const seen: number[][] = [];
    const spied: TimedModel = {
      feed: async (tokens) => {
        seen.push([...tokens]);
        return timed.feed(tokens);
      },
      reset: () => timed.reset(),
      dispose: () => timed.dispose(),
    };
    const prompt = Int32Array.of(1, 2, 3, 9, 8, 7);
    const two = { prompt, genLen: 4, batchSize: 2, vocabSize: 11 };
    await measureCell([spied], two, { warmupRuns: 0, timedRuns: 2, now: () => 0 });
    return seen;
  };
  const [cached, uncached] = [await fed("fp32"), await fed(null)];
  expect(cached).toHaveLength(8);
  expect(cached).toEqual(uncached);
  // The second run equals the first: nothing is left over.
  expect(cached.slice(4)).toEqual(cached.slice(0, 4));
});

const small = { promptLengths: [3, 5], generationLengths: [2], batchSizes: [1, 2], warmupRuns: 1, timedRuns: 2 };

test("rows of all cells for all models, and progress to the end", async () => {
  const progress: string[] = [];
  const rows = await compareLatency(
    { teacher: tinyModel(), student: tinyModel({ attention: { mode: "gqa", nKvHeads: 1 } }) },
    backend,
    {
      ...small,
      repeats: 2,
      onProgress: (done, total) => progress.push(`${done}/${total}`),
    },
  );
  expect(rows.map((row) => [row.model, row.batchSize, row.promptLen])).toEqual([
    ["teacher", 1, 3],
    ["teacher", 1, 5],
    ["teacher", 2, 3],
    ["teacher", 2, 5],
    ["student", 1, 3],
    ["student", 1, 5],
    ["student", 2, 3],
    ["student", 2, 5],
  ]);
  for (const row of rows) expect(row).toMatchObject({ n: 4, itlSamples: 4, useCache: true, cacheKind: "fp16" });
  expect(progress.at(-1)).toBe("48/48");
});

test("the class gives rows to iterate over, and warns of unreliable percentiles", async () => {
  const result = await new LatencyBenchmark(small).run(tinyModel(), backend, "tiny");
  const lengths: number[] = [];
  for (const row of result) lengths.push(row.promptLen);
  expect(lengths).toEqual([3, 5, 3, 5]);
  expect(result.metrics["tokensPerSec"]).toBeGreaterThan(0);
  expect(result.warnings).toEqual([
    "4 of 4 latency rows have fewer than 100 decode steps; their 99th percentile is unreliable",
  ]);
  const uncached = await new LatencyBenchmark({ ...small, useCache: false }).run(tinyModel(), backend);
  expect(uncached.rows[0]).toMatchObject({ useCache: false, cacheKind: null });
});

test("what is not built is refused when the benchmark is made", async () => {
  expect(() => new LatencyBenchmark({ timedRuns: 0 })).toThrow(/timedRuns/);
  expect(() => new LatencyBenchmark({ promptLengths: [] })).toThrow(/promptLengths/);
  expect(() => new LatencyBenchmark({ repeats: 0 })).toThrow(/repeats is 0/);
  expect(() => new LatencyBenchmark({ cacheKind: "q8" })).toThrow(/cache kind q8_0 is not supported yet/);
  const policy = { k: null, kSem: null, kGeo: null, v: null };
  expect(() => new LatencyBenchmark({ cachePolicy: policy })).toThrow(/cache_policy is not supported yet/);
  const bare = buildModel({
    embedder: { type: "none" },
    topology: { type: "StackedTopology", layers: [{ type: "LinearLayer", dIn: 4, dOut: 4 }] },
  });
  await expect(new LatencyBenchmark(small).run(bare, backend)).rejects.toMatchObject({ code: "model" });
});

test("a model without positions is timed with and without a cache, and gives the same logits", async () => {
  const model = buildModel(
    {
      embedder: { type: "token", vocabSize: 7, dModel: 4 },
      topology: { type: "StackedTopology", layers: [{ type: "SSMLayer", dModel: 4, dState: 2 }] },
    },
    { seed: 3 },
  );
  const [cached, whole] = await Promise.all(
    (["fp32", null] as const).map((storage) => openTimedModel(model, { backend, batchSize: 2, maxSeqLen: 8, storage })),
  );
  if (!cached || !whole) throw new Error("not opened");
  for (const tokens of [
    [1, 2, 3, 4, 5, 6],
    [0, 3],
    [2, 2],
  ]) {
    const [a, b] = [await cached.feed(Int32Array.from(tokens)), await whole.feed(Int32Array.from(tokens))];
    expect(b).toHaveLength(14);
    b.forEach((value, i) => {
      expect(a[i]).toBeCloseTo(value, 6);
    });
  }
  cached.dispose();
  whole.dispose();
});
