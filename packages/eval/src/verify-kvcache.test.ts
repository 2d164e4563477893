import { type KVCacheVerifyConfig, type VerifyInput, verifyConfig } from "@caramba/config";
import { buildModel, kvBytesPerToken } from "@caramba/model";
import { expect, test } from "vitest";
import { verifyKVCache } from "./verify-kvcache.ts";

const LAYERS = 16;
/** Weights are made when first needed, so that models of any size can be counted. */
const llama = (attention: object) =>
  buildModel({
    embedder: { type: "token", vocabSize: 128, dModel: 2048 },
    topology: {
      type: "StackedTopology",
      layers: [{ type: "AttentionLayer", dModel: 2048, nHeads: 32, ...attention }],
      repeat: LAYERS,
    },
  });
const gqa = llama({ mode: "gqa", nKvHeads: 8 });
const dba = (semDim: number, geoDim: number, attnDim?: number) =>
  llama({ mode: "decoupled", semDim, geoDim, ...(attnDim ? { attnDim } : {}) });
const config = (change: Partial<VerifyInput> = {}): KVCacheVerifyConfig =>
  verifyConfig({ type: "kvcache", maxSeqLen: 1024, ...change } as VerifyInput) as KVCacheVerifyConfig;
const tensor = (kind: "q8_0" | "q4_0", residualLen = 0) => ({ kind, qblock: 32, residualLen });

test("bytes per token, all layers, keys and values: the table of the specification", () => {
  const fp16 = (student: typeof gqa) => verifyKVCache({ teacher: gqa, student, config: config() }).metrics;
  expect(fp16(dba(128, 256))).toMatchObject({ teacher_bytes_per_token: 32768, student_bytes_per_token: 77824 });
  expect(fp16(dba(128, 256, 512))["student_bytes_per_token"]).toBe(28672);
  expect(fp16(dba(32, 128, 512))["student_bytes_per_token"]).toBe(21504);
});

test("a layer in a cycle counts once per pass, a state once per sequence", () => {
  const student = buildModel({
    embedder: { type: "token", vocabSize: 128, dModel: 64 },
    topology: {
      type: "StackedTopology",
      layers: [
        { type: "CyclicTopology", iterations: 3, layers: [{ type: "AttentionLayer", dModel: 64, nHeads: 2 }] },
        { type: "SSMLayer", dModel: 64 },
      ],
    },
  });
  const { metrics } = verifyKVCache({ teacher: gqa, student, config: config({ maxSeqLen: 512, nLayers: null }) });
  const state = 4 * 128 * (16 + 3);
  expect(metrics["student_mb"]).toBe((512 * 3 * 2 * 64 * 2 + state) / 2 ** 20);
});

test("the published preset makes the cache larger than its GQA teacher's", () => {
  const result = verifyKVCache({ teacher: gqa, student: dba(128, 256), config: config({ minReductionRatio: 1 }) });
  expect(result.passed).toBe(false);
  expect(result.metrics["reduction_ratio"]).toBeCloseTo(32768 / 77824, 12);
  expect(() =>
    verifyKVCache({ teacher: gqa, student: dba(128, 256), config: config({ minReductionRatio: 1, failFast: true }) }),
  ).toThrow(/reduction ratio 0.421053 is below min_reduction_ratio 1/);
});

test("quantised kinds count their scales; keys of both paths and values have kinds of their own", () => {
  const q8 = { k: tensor("q8_0"), kSem: null, kGeo: null, v: tensor("q8_0") };
  const mixed = { k: null, kSem: tensor("q4_0"), kGeo: tensor("q8_0"), v: tensor("q4_0") };
  const { metrics } = verifyKVCache({
    teacher: gqa,
    student: dba(128, 256, 512),
    config: config({ teacher: q8, student: mixed }),
  });
  expect(metrics["teacher_bytes_per_token"]).toBe(17408);
  expect(metrics["student_bytes_per_token"]).toBe(10112);
  expect(metrics["teacher_mb"]).toBe(17);
});

test("the newest tokens are kept in fp16 besides", () => {
  const plain = { k: tensor("q8_0"), kSem: null, kGeo: null, v: tensor("q8_0") };
  const kept = { ...plain, v: tensor("q8_0", 64) };
  const mb = (teacher: typeof plain) =>
    verifyKVCache({ teacher: gqa, student: gqa, config: config({ teacher }) }).metrics["teacher_mb"] as number;
  expect((mb(kept) - mb(plain)) * 2 ** 20).toBe(LAYERS * 64 * 512 * 2);
});

test("fp16 agrees with the model's own accounting", () => {
  const student = dba(64, 128, 512);
  const { metrics } = verifyKVCache({ teacher: gqa, student, config: config({ batchSize: 3 }) });
  expect(metrics["student_bytes_per_token"]).toBe(kvBytesPerToken(student, "fp16"));
  expect(metrics["student_mb"]).toBe((3 * 1024 * kvBytesPerToken(student, "fp16")) / 2 ** 20);
});

test("a policy for parts that a model lacks, and a wrong n_layers, are refused", () => {
  const teacher = { k: null, kSem: tensor("q8_0"), kGeo: null, v: null };
  expect(() => verifyKVCache({ teacher: gqa, student: gqa, config: config({ teacher }) })).toThrow(/names k_sem/);
  expect(() => verifyKVCache({ teacher: gqa, student: gqa, config: config({ nLayers: 12 }) })).toThrow(
    "n_layers is 12, but the teacher has 16",
  );
});
