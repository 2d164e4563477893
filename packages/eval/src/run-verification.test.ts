import { type VerifyInput, verifyConfig } from "@caramba/config";
import { ByteTokenizer } from "@caramba/data";
import { ReferenceBackend } from "@caramba/tensor";
import { expect, test } from "vitest";
import { tinyModel } from "../test-support/models.ts";
import { runVerification } from "./run-verification.ts";
import type { WindowRequest } from "./windows.ts";

function setup(vocabSize = 11) {
  const asked: WindowRequest[] = [];
  const windows = (request: WindowRequest) => {
    asked.push(request);
    const tokens = Int32Array.from({ length: request.count * request.blockSize }, (_, i) => i % 11);
    return { tokens, targets: tokens, blockSize: request.blockSize };
  };
  const [teacher, student] = [tinyModel({ vocabSize }), tinyModel({ vocabSize })];
  const context = { teacher, student, backend: new ReferenceBackend(), windows, batchSize: 2, blockSize: 4 };
  return {
    asked,
    run: (input: VerifyInput, more = {}) => runVerification(verifyConfig(input), { ...context, ...more }),
  };
}

test("every type runs, on the windows that its config asks for", async () => {
  const { asked, run } = setup();
  const limits = { maxMeanL1: 0, maxMaxL1: null };
  expect(await run({ type: "compare", batches: 2, logits: limits })).toMatchObject({ type: "compare", passed: true });
  expect(await run({ type: "fidelity", batches: 3, maxPplRatio: 1.1 })).toMatchObject({ passed: true });
  await run({ type: "fidelity", batches: 3, blockSize: 5, batchSize: 1, split: "train", maxPplRatio: 1.1 });
  expect(asked).toEqual([
    { blockSize: 4, count: 4, split: "auto" },
    { blockSize: 4, count: 6, split: "auto" },
    { blockSize: 5, count: 3, split: "train" },
  ]);
  expect(await run({ type: "kvcache", maxSeqLen: 8, minReductionRatio: 1 })).toMatchObject({ passed: true });
});

test("eval needs a tokenizer", async () => {
  const { run } = setup(258);
  const input = {
    type: "eval" as const,
    tokenizer: { type: "byte" as const },
    maxNewTokens: 2,
    cases: [{ kind: "int_greedy" as const, id: "one", prompt: "1+1=", answer: 2 }],
    thresholds: { minStudentAccuracy: 0, maxAccuracyDrop: 0 },
  };
  await expect(run(input)).rejects.toMatchObject({ code: "tokenizer" });
  expect(await run(input, { tokenizer: new ByteTokenizer() })).toMatchObject({ type: "eval", passed: true });
});
