// What training measures along the way: held-out loss and input covariances against loops; and that sizes which the
// engine spreads over threads still give the same bits every time.
import { open } from "@caramba/backend-onnx";
import { trainConfig } from "@caramba/config";
import { WindowScorer } from "@caramba/eval";
import { buildModel } from "@caramba/model";
import { type Backend, compile, input, Philox } from "@caramba/tensor";
import { afterAll, beforeAll, expect, it } from "vitest";
import { tinyModel, tinyRun, tokens, vocabSize } from "../test-support/tiny-run.ts";
import { attentionCovariances } from "./covariance.ts";
import type { TrainEvent } from "./events.ts";
import { languageLoss } from "./loss.ts";
import { runLanguage } from "./run-language.ts";
import { TrainStep } from "./train-step.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 2 });
});
afterAll(() => backend.close());

it("validates after every eval_iters steps and after the last, in nats per token", async () => {
  const model = tinyModel("student");
  const scorer = await WindowScorer.open(model, { backend, batchSize: 3, blockSize: 8 });
  const held = { tokens: tokens.slice(500, 524), targets: tokens.slice(501, 525) };
  const events: TrainEvent[] = [];
  await runLanguage({
    ...tinyRun({ backend, model, train: { phase: "standard", evalIters: 2 }, steps: 5 }),
    validation: { scorer, ...held },
    onEvent: (event) => events.push(event),
  });
  expect(events.map(({ step, valLoss }) => [step, valLoss !== null])).toEqual([
    [1, false],
    [2, true],
    [3, false],
    [4, true],
    [5, true],
  ]);
  const program = await compile({ outputs: { y: model.forward(input("ids", [3, 8], "int32")) } }, { backend });
  const logits = (await program.read({ ids: held.tokens }))["y"] as Float32Array;
  let sum = 0;
  held.targets.forEach((target, i) => {
    const row = [...logits.subarray(i * vocabSize, (i + 1) * vocabSize)];
    sum += Math.log(row.reduce((s, v) => s + Math.exp(v), 0)) - (row[target] as number);
  });
  expect(events.at(-1)?.valLoss).toBeCloseTo(sum / 24, 5);
});

it("reads with accumulation the same windows, step by step, as with one big batch", async () => {
  const losses = async (batchSize: number, gradientAccumulationSteps: number) => {
    const found: number[] = [];
    const train = { phase: "standard", batchSize, gradientAccumulationSteps } as const;
    const model = tinyModel("student", 1, 0);
    await runLanguage({ ...tinyRun({ backend, model, train, steps: 4 }), onEvent: ({ loss }) => found.push(loss) });
    return found;
  };
  const whole = await losses(6, 1);
  expect(new Set(whole).size).toBe(4);
  (await losses(2, 3)).forEach((loss, i) => {
    expect(loss).toBeCloseTo(whole[i] as number, 4);
  });
});

it("attentionCovariances of layers with biases are of inputs with a 1 appended", async () => {
  const { model, batches } = tinyRun({ backend, model: tinyModel("teacher"), train: { phase: "global" }, steps: 1 });
  const text = JSON.stringify(model.config).replaceAll(
    '"type":"AttentionLayer"',
    '"type":"AttentionLayer","bias":true',
  );
  const biased = buildModel(JSON.parse(text.replaceAll('"bias":false', '"bias":true')), { seed: 1 });
  const own = biased.variables();
  for (const [name, variable] of model.variables()) own.get(name)?.write(await variable.read());
  const [plain] = (await attentionCovariances(model, backend, batches, 2)) as [Float64Array];
  const [found] = (await attentionCovariances(biased, backend, batches, 2)) as [Float64Array];
  expect(found).toHaveLength(17 * 17);
  for (let i = 0; i < 16; i++)
    for (let j = 0; j < 16; j++) expect(found[i * 17 + j]).toBeCloseTo(plain[i * 16 + j] as number, 6);
  expect(found[288]).toBeCloseTo(1, 6);
  const table = (await model.embedder?.weight.read()) as Float32Array;
  const mean = new Float64Array(16);
  for (let step = 0; step < 2; step++)
    for (const id of batches.batchAt(step).tokens) {
      const row = table.subarray(id * 16, id * 16 + 16);
      const scale = 1 / Math.sqrt(row.reduce((s, v) => s + v * v, 0) / 16 + 1e-5);
      row.forEach((v, i) => {
        mean[i] = (mean[i] as number) + (v * scale) / 32;
      });
    }
  mean.forEach((v, i) => {
    expect(found[i * 17 + 16]).toBeCloseTo(v, 5);
    expect(found[16 * 17 + i]).toBeCloseTo(v, 5);
  });
});

it("attentionCovariances are means of x x^T over what attention layers are fed", async () => {
  const { model, batches } = tinyRun({ backend, model: tinyModel("teacher"), train: { phase: "global" }, steps: 1 });
  const [first, second] = await attentionCovariances(model, backend, batches, 3);
  expect(second).toHaveLength(16 * 16);
  // The first layer is fed the embedding, normalised: known without running the model.
  const table = (await model.embedder?.weight.read()) as Float32Array;
  const expected = new Float64Array(16 * 16);
  for (let step = 0; step < 3; step++)
    for (const id of batches.batchAt(step).tokens) {
      const row = table.subarray(id * 16, id * 16 + 16);
      const scale = 1 / Math.sqrt(row.reduce((s, v) => s + v * v, 0) / 16 + 1e-5);
      for (let i = 0; i < 16; i++)
        for (let j = 0; j < 16; j++)
          expected[i * 16 + j] =
            (expected[i * 16 + j] as number) + ((row[i] as number) * (row[j] as number) * scale ** 2) / 48;
    }
  expected.forEach((want, i) => {
    expect(first?.[i]).toBeCloseTo(want, 5);
  });
});

it("training steps that run on several threads repeat bit by bit", async () => {
  const [d, v, batchSize, blockSize] = [128, 512, 4, 64];
  const random = new Philox(1);
  const ids = () => Int32Array.from({ length: batchSize * blockSize }, () => random.below(v));
  const micros = [1, 2, 3].map(() => ({ tokens: ids(), targets: ids() }));
  const train = async () => {
    const model = buildModel(
      {
        embedder: { type: "token", vocabSize: v, dModel: d },
        topology: {
          type: "StackedTopology",
          layers: [
            { type: "ResidualTopology", layers: [{ type: "AttentionLayer", dModel: d, nHeads: 4, nKvHeads: 2 }] },
            { type: "ResidualTopology", layers: [{ type: "SwiGLULayer", dModel: d, dFf: 344, bias: false }] },
            { type: "RMSNormLayer", dModel: d },
          ],
        },
      },
      { seed: 1 },
    );
    const { loss } = languageLoss(model, { batchSize, blockSize, kdWeight: 0, kdTemperature: 1, teacher: null });
    const settings = trainConfig({ phase: "standard", batchSize, blockSize, lr: 1e-3 });
    const step = await TrainStep.compile({ backend, loss, parameters: model.trainable(), settings, clipNorm: 1 });
    for (const [n, micro] of micros.entries()) await step.run([micro], { step: n, lr: 1e-3, seed: 0 });
    step.dispose();
    return Promise.all([...model.variables().values()].map((variable) => variable.read()));
  };
  const first = await train();
  for (let again = 0; again < 3; again++)
    (await train()).forEach((values, i) => {
      expect(Buffer.compare(Buffer.from(values.buffer), Buffer.from(first[i]?.buffer ?? new ArrayBuffer(0)))).toBe(0);
    });
});
