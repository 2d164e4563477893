import type { CompareVerifyConfig } from "@caramba/config";
import { ReferenceBackend } from "@caramba/tensor";
import { expect, test } from "vitest";
import { edit, tinyModel } from "../test-support/models.ts";
import { compareModels } from "./compare.ts";

const backend = new ReferenceBackend();
const blockSize = 5;
const tokens = Int32Array.from({ length: 4 * blockSize }, (_, i) => (i * 7) % 11);
const windows = { tokens, targets: tokens, blockSize };
const config = (change: Partial<CompareVerifyConfig> = {}): CompareVerifyConfig => ({
  type: "compare",
  batches: 2,
  attention: { maxMeanL1: 0, maxMaxL1: 0 },
  logits: { maxMeanL1: 0, maxMaxL1: 0 },
  failFast: false,
  ...change,
});

/** Path of the output bias of the last attention layer. */
const lastBias = (model: ReturnType<typeof tinyModel>): string =>
  [...model.variables().keys()].filter((path) => path.endsWith("out_proj.bias")).at(-1) as string;

test("a model equals itself", async () => {
  const result = await compareModels({
    teacher: tinyModel(),
    student: tinyModel(),
    backend,
    windows,
    batchSize: 2,
    config: config(),
  });
  expect(result).toMatchObject({ type: "compare", passed: true, violations: [] });
  expect(result.metrics).toEqual({
    batches: 2,
    attention_mean_l1: 0,
    attention_max_l1: 0,
    attention_worst_element: 0,
    logits_mean_l1: 0,
    logits_max_l1: 0,
    logits_worst_element: 0,
  });
});

test("mean, maximum of means and worst element are three things", async () => {
  const student = tinyModel();
  // One of 16 outputs of the second of two layers is off by 0.8.
  await edit(student, lastBias(student), (bias) => {
    bias[3] = (bias[3] as number) + 0.8;
  });
  const { metrics, passed, violations } = await compareModels({
    teacher: tinyModel(),
    student,
    backend,
    windows,
    batchSize: 2,
    config: config({ attention: { maxMeanL1: 0.02, maxMaxL1: 0.06 }, logits: null }),
  });
  expect(metrics["attention_mean_l1"]).toBeCloseTo(0.8 / 16 / 2, 6);
  expect(metrics["attention_max_l1"]).toBeCloseTo(0.8 / 16, 6);
  expect(metrics["attention_worst_element"]).toBeCloseTo(0.8, 6);
  expect(metrics).not.toHaveProperty("logits_mean_l1");
  expect(passed).toBe(false);
  expect(violations).toEqual(["attention: mean L1 0.025 is above max_mean_l1 0.02"]);
});

test("a violation ends the run only with fail_fast", async () => {
  const options = { teacher: tinyModel(), student: tinyModel({ seed: 4 }), backend, windows, batchSize: 2 };
  const reported = await compareModels({ ...options, config: config() });
  expect(reported.passed).toBe(false);
  expect(reported.violations).toHaveLength(4);
  await expect(compareModels({ ...options, config: config({ failFast: true }) })).rejects.toMatchObject({
    code: "verify-failed",
    message: expect.stringContaining("attention: mean L1"),
  });
});

test("models that do not match layer by layer are refused", async () => {
  const options = { teacher: tinyModel(), backend, windows, config: config() };
  await expect(compareModels({ ...options, student: tinyModel({ layers: 1 }) })).rejects.toMatchObject({
    code: "verify-shape",
    message: "the teacher has 2 attention layers, the student 1",
  });
  await expect(compareModels({ ...options, student: tinyModel({ vocabSize: 12 }) })).rejects.toThrow(
    /logits: the teacher's shape is \[1, 5, 11\], the student's \[1, 5, 12\]/,
  );
});

test("students with another attention are compared by their outputs", async () => {
  const student = tinyModel({ attention: { mode: "decoupled", semDim: 8, geoDim: 16, attnDim: 8 } });
  const { metrics } = await compareModels({ teacher: tinyModel(), student, backend, windows, config: config() });
  expect(metrics["batches"]).toBe(4);
  expect(metrics["attention_mean_l1"]).toBeGreaterThan(0.01);
});
