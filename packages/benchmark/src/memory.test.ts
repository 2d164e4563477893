import { buildModel, kvBytesPerToken, stateElements } from "@caramba/model";
import { ReferenceBackend } from "@caramba/tensor";
import { expect, test } from "vitest";
import { tinyModel } from "../test-support/models.ts";
import { allocatedCacheBytes, MemoryBenchmark, modelBytes } from "./memory.ts";
import { modelFacts } from "./model-facts.ts";
import { peakMemory } from "./peak-memory.ts";

const backend = new ReferenceBackend();
const MB = 2 ** 20;
const attentions = {
  standard: {},
  gqa: { mode: "gqa", nKvHeads: 2 },
  decoupled: { mode: "decoupled", semDim: 8, geoDim: 16, attnDim: 8, nKvHeads: 2 },
};

for (const [name, attention] of Object.entries(attentions))
  test(`the allocated cache has exactly the computed size: ${name}`, () => {
    const model = tinyModel({ attention });
    for (const storage of ["fp16", "fp32"] as const)
      for (const [seqLen, batchSize] of [
        [1, 1],
        [37, 3],
        [64, 1],
        [100, 2],
      ] as const)
        expect(allocatedCacheBytes(model, { backend, seqLen, batchSize, storage })).toBe(
          kvBytesPerToken(model, storage) * seqLen * batchSize,
        );
  });

test("states of recurrent layers are in both cache figures, whatever the length", async () => {
  const model = buildModel({
    embedder: { type: "token", vocabSize: 16, dModel: 8 },
    topology: {
      type: "StackedTopology",
      layers: [
        { type: "SSMLayer", dModel: 8, dState: 4 },
        { type: "CyclicTopology", iterations: 2, layers: [{ type: "AttentionLayer", dModel: 8, nHeads: 2 }] },
        { type: "RNNLayer", inputSize: 8, hiddenSize: 8 },
      ],
    },
  });
  // 16 inner features of 4 states and 3 earlier inputs; h and c. Attention twice: k and v of 8 each.
  expect(stateElements(model)).toBe(16 * (4 + 3) + 2 * 8);
  const options = { sequenceLengths: [4, 9], batchSizes: [3], measurePeak: false };
  const { rows } = await new MemoryBenchmark(options).run(model, backend);
  // A state is there twice: what a step reads and what it writes.
  const bytes = [4, 9].map((n) => 3 * (2 * 16 * n * 2 + 2 * 4 * stateElements(model)));
  expect(rows.map((row) => (row.kvcacheMb as number) * MB)).toEqual(bytes);
  expect(rows.map((row) => (row.kvcacheMeasuredMb as number) * MB)).toEqual(bytes);
});

test("rows: both cache figures, all layers, keys and values, by hand", async () => {
  const model = tinyModel({ attention: attentions.decoupled });
  const options = { sequenceLengths: [16, 32], batchSizes: [2], quantizationModes: ["fp16", "fp32"] as const };
  const { rows } = await new MemoryBenchmark(options).run(model, backend, "student");
  // Per token and layer: 2 KV heads of (8 + 16) / 4 keys and 8 / 4 values; 2 layers.
  const elements = 2 * 2 * (6 + 2);
  expect(rows.map((row) => (row.kvcacheMb as number) * MB)).toEqual(
    [16, 16, 32, 32].map((n, i) => n * 2 * elements * (i % 2 ? 4 : 2)),
  );
  for (const row of rows) {
    expect(row.kvcacheMeasuredMb).toBe(row.kvcacheMb);
    expect(row).toMatchObject({ model: "student", note: "", benchmark: "memory" });
    expect(row.peakMb as number).toBeGreaterThan(1);
    expect(row.peakMb as number).toBeGreaterThanOrEqual(row.peakGrowthMb as number);
    expect(["VmHWM", "sampled"]).toContain(row.peakMethod);
  }
});

test("quantised kinds have a computed size with scales, and say that nothing was measured", async () => {
  const model = tinyModel();
  const options = { sequenceLengths: [32], quantizationModes: ["q8", "q4_0"] as const };
  const result = await new MemoryBenchmark(options).run(model, backend);
  const [q8, q4] = result.rows;
  const elements = 2 * 2 * 16 * 32;
  expect((q8?.kvcacheMb as number) * MB).toBe(elements * 1.0625);
  expect((q4?.kvcacheMb as number) * MB).toBe(elements * 0.5625);
  expect(q8).toMatchObject({ quantization: "q8_0", kvcacheMeasuredMb: null, peakMb: null });
  expect(result.warnings).toEqual([
    "cache kind q8_0 is not built yet: its size is computed, not measured",
    "cache kind q4_0 is not built yet: its size is computed, not measured",
  ]);
});

test("the measure flags are honoured", async () => {
  const options = { sequenceLengths: [8], measurePeak: false, measureKvcache: false };
  const [row] = (await new MemoryBenchmark(options).run(tinyModel(), backend)).rows;
  expect(row).toMatchObject({ kvcacheMb: null, kvcacheMeasuredMb: null, peakMb: null, peakMethod: null });
});

test("the weights are those of this model alone", async () => {
  const model = tinyModel({ vocabSize: 11 });
  // Table 11 x 16, per layer 4 x 16 x 16 and a norm of 16, a last norm of 16; float32.
  expect(modelBytes(model)).toBe(4 * (11 * 16 + 2 * (4 * 256 + 16) + 16));
});

test("layers need not be alike", () => {
  const mixed = buildModel({
    embedder: { type: "token", vocabSize: 8, dModel: 16 },
    topology: {
      type: "StackedTopology",
      layers: [
        { type: "AttentionLayer", dModel: 16, nHeads: 4 },
        { type: "AttentionLayer", dModel: 16, nHeads: 4, mode: "gqa", nKvHeads: 1 },
      ],
    },
  });
  expect(allocatedCacheBytes(mixed, { backend, seqLen: 10, batchSize: 1, storage: "fp32" })).toBe(10 * 4 * (32 + 8));
});

test("the peak sees memory that is gone again", async () => {
  const size = 64 * MB;
  const { beforeBytes, peakBytes } = await peakMemory(async () => {
    const block = new Uint8Array(size).fill(1);
    await new Promise((done) => setTimeout(done, 20));
    expect(block[size - 1]).toBe(1);
  });
  expect(peakBytes - beforeBytes).toBeGreaterThan(size * 0.9);
});

test("facts of a model", () => {
  const facts = modelFacts("student", tinyModel({ attention: attentions.decoupled }), 8);
  expect(facts).toMatchObject({ name: "student", kvElementsPerToken: 32, kOnlyElementsPerToken: 24 });
  expect(facts.kvBytesPerToken).toEqual({ fp32: 128, fp16: 64, q8_0: 34, q4_0: 18, nf4: 18 });
  expect(facts.flopsPerToken).toBeGreaterThan(2 * (facts.parameters - 11 * 16));
});
