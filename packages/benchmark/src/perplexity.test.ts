import { MemoryTokens, splitTokens } from "@caramba/data";
import { ReferenceBackend } from "@caramba/tensor";
import { expect, test } from "vitest";
import { SpiedTokens, tableModel, uniformModel } from "../test-support/models.ts";
import { PerplexityBenchmark, perplexityRow } from "./perplexity.ts";
import { QuickBenchmark } from "./quick.ts";

const backend = new ReferenceBackend();
const random = (length: number, size: number) => {
  let state = 12345;
  return Int32Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % size;
  });
};

test("a uniform model has the perplexity of its vocabulary's size", async () => {
  const tokens = new MemoryTokens(random(400, 13));
  const result = await new PerplexityBenchmark({ tokens, blockSize: 16, numBatches: 6 }).run(uniformModel(13), backend);
  expect(result.perplexity).toBeCloseTo(13, 5);
  expect(result.loss).toBeCloseTo(Math.log(13), 6);
  expect(result).toMatchObject({ benchmarkId: "perplexity", numTokens: 96, numBatches: 6, warnings: [] });
  expect(result.metrics["perplexity"]).toBe(result.perplexity);
  // Every window has the same loss: the interval is a point.
  expect(result.ciHigh as number).toBeCloseTo(result.ciLow as number, 6);
});

test("windows are of the held-out part, spread over it, and no token is scored twice", async () => {
  const tokens = new SpiedTokens(random(4000, 5));
  const parts = splitTokens(4000, 0.25, 32);
  await new PerplexityBenchmark({ tokens, parts, blockSize: 32, numBatches: 10 }).run(uniformModel(5), backend);
  expect(tokens.reads).toHaveLength(10);
  // The original read 10 windows one token apart from the file's start: 42 tokens in all.
  const scored = tokens.reads.flatMap(([start, end]) =>
    Array.from({ length: end - start - 1 }, (_, i) => start + 1 + i),
  );
  expect(new Set(scored).size).toBe(320);
  expect(Math.min(...tokens.reads.map(([start]) => start))).toBe(3000);
  expect(Math.max(...tokens.reads.map(([, end]) => end))).toBe(4000);
});

/** Mean loss of the table by hand, over the targets after `starts`. */
const byHand = (
  ids: Int32Array,
  table: readonly (readonly number[])[],
  starts: readonly number[],
  block: number,
  scored: number,
) =>
  starts.map((start) => {
    let total = 0;
    for (let i = start + block - scored; i < start + block; i++) {
      const row = table[ids[i] as number] as readonly number[];
      total += Math.log(row.reduce((s, v) => s + Math.exp(v), 0)) - (row[ids[i + 1] as number] as number);
    }
    return total;
  });
const table = Array.from({ length: 5 }, (_, i) => Array.from({ length: 5 }, (_, j) => Math.sin(3 * i + j)));

test("losses of a table by hand, with batches that do not divide the windows, and with a stride", async () => {
  const ids = random(70, 5);
  const run = (options: object) =>
    new PerplexityBenchmark({ tokens: new MemoryTokens(ids), blockSize: 8, numBatches: null, ...options }).run(
      tableModel(table),
      backend,
      "table",
    );
  // Eight windows fit: all of them are taken, from the start.
  const plain = await run({ batchSize: 3 });
  const starts = [0, 8, 16, 24, 32, 40, 48, 56];
  byHand(ids, table, starts, 8, 8).forEach((sum, i) => {
    expect(plain.windowSums[i]).toBeCloseTo(sum, 4);
  });
  expect(plain).toMatchObject({ numBatches: 3, numTokens: 64, tokensPerWindow: 8 });
  const strided = await run({ stride: 3 });
  const all = Array.from({ length: 21 }, (_, i) => 3 * i);
  expect(strided).toMatchObject({ numTokens: 63, tokensPerWindow: 3 });
  byHand(ids, table, all, 8, 3).forEach((sum, i) => {
    expect(strided.windowSums[i]).toBeCloseTo(sum, 4);
  });
  expect(perplexityRow(plain)).toMatchObject({ model: "table", crossEntropy: plain.loss, benchmark: "perplexity" });
});

test("repeats use windows of their own and are pooled", async () => {
  const tokens = new SpiedTokens(random(1000, 5));
  const options = { tokens, blockSize: 8, numBatches: 5 };
  const result = await new PerplexityBenchmark({ ...options, repeats: 3 }).run(tableModel(table), backend);
  expect(new Set(tokens.reads.map(([start]) => start)).size).toBe(15);
  expect(result.repeatLosses).toHaveLength(3);
  // Not the best of the repeats: the mean of all.
  expect(result.loss).toBeCloseTo(result.repeatLosses.reduce((a, b) => a + b, 0) / 3, 10);
  expect(Math.min(...result.repeatLosses)).toBeLessThan(result.loss);
  expect(result.repeatStd).toBeGreaterThan(0);
});

test("the interval is the t interval of the windows' losses", async () => {
  const tokens = new MemoryTokens(random(100, 5));
  const result = await new PerplexityBenchmark({ tokens, blockSize: 8, numBatches: 3 }).run(tableModel(table), backend);
  const losses = [...result.windowSums].map((sum) => sum / 8);
  const mean = (losses[0] as number) / 3 + (losses[1] as number) / 3 + (losses[2] as number) / 3;
  const deviation = Math.sqrt(losses.reduce((s, v) => s + (v - mean) ** 2, 0) / 2);
  const half = (4.302652730749464 * deviation) / Math.sqrt(3);
  expect(result.ciLow).toBeCloseTo(Math.exp(mean - half), 6);
  expect(result.ciHigh).toBeCloseTo(Math.exp(mean + half), 6);
});

test("a text with fewer windows says so; ids beyond the vocabulary and text too short are errors", async () => {
  const bench = (ids: Int32Array, numBatches: number | null = 100) =>
    new PerplexityBenchmark({ tokens: new MemoryTokens(ids), blockSize: 16, numBatches });
  const few = await bench(random(60, 5)).run(uniformModel(5), backend);
  expect(few.warnings[0]).toMatch(/100 windows of 16 tokens.*holds 3/);
  expect(few.numBatches).toBe(3);
  await expect(bench(random(60, 9)).run(uniformModel(5), backend)).rejects.toMatchObject({ code: "token-id" });
  await expect(bench(random(16, 5)).run(uniformModel(5), backend)).rejects.toMatchObject({ code: "too-short" });
});

test("weights that are no numbers are an error, not a perplexity", async () => {
  const broken = tableModel(Array.from({ length: 5 }, () => new Array<number>(5).fill(Number.NaN)));
  const bench = new PerplexityBenchmark({ tokens: new MemoryTokens(random(60, 5)), blockSize: 8 });
  await expect(bench.run(broken, backend)).rejects.toMatchObject({ code: "nan" });
});

test("text is asked for once, and a missing file is named", async () => {
  expect(() => new PerplexityBenchmark({})).toThrow(/needs text/);
  await expect(new PerplexityBenchmark({ datasetPath: "nowhere.npy" }).run(uniformModel(5), backend)).rejects.toThrow(
    /nowhere\.npy/,
  );
});

test("a device by name is opened and closed, and the weights outlive it", async () => {
  const model = tableModel(table);
  const bench = new PerplexityBenchmark({ tokens: new MemoryTokens(random(60, 5)), blockSize: 8 });
  const first = await bench.run(model, "reference");
  expect((await bench.run(model, "reference")).loss).toBe(first.loss);
});

test("QuickBenchmark: ten windows of 512, and cache bytes", async () => {
  const tokens = new MemoryTokens(random(512 * 12, 3));
  const quick = await new QuickBenchmark({ tokens }).run(uniformModel(3), backend);
  expect(quick.perplexity).toBeCloseTo(3, 5);
  expect(quick).toMatchObject({ benchmarkId: "quick", kvBytesPerToken: 0 });
});
