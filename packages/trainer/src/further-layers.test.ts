// Models of experts and of low-rank updates through the trainer: what layers add to the loss is in it, is reported apart
// and stays out of validation; frozen weights stay as they were.
import { open } from "@caramba/backend-onnx";
import { llamaModel, type NodeInput } from "@caramba/config";
import { WindowScorer } from "@caramba/eval";
import { buildModel, type Model, traceForward } from "@caramba/model";
import { type Backend, compile, grad, input, ReferenceBackend, type Tensor } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyRun, tokens, vocabSize } from "../test-support/tiny-run.ts";
import type { TrainEvent } from "./events.ts";
import { languageLoss } from "./loss.ts";
import { runTraining } from "./run.ts";
import { validate } from "./run-language.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 1 });
});
afterAll(() => backend.close());

/** Two blocks of attention and a feed-forward network; blocks have weights of their own. */
function model(feedForward: readonly NodeInput[]): Model {
  const sizes = { vocabSize, dModel: 16, layers: 2, attention: { nHeads: 2 } };
  return buildModel(llamaModel({ ...sizes, feedForward }), { seed: 3 });
}

const experts = (loadBalancingWeight: number) =>
  model([{ type: "MoELayer", dModel: 16, dFf: 12, numExperts: 4, topK: 2, loadBalancingWeight }]);

async function train(of: Model, steps: number, extra: object = {}): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  const onEvent = (event: TrainEvent) => events.push(event);
  await runTraining(tinyRun({ backend, model: of, train: { phase: "standard", lr: 1e-2, ...extra }, steps, onEvent }));
  return events;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe("a mixture of experts", () => {
  const [batchSize, blockSize] = [2, 8];
  const ids = tokens.slice(0, 16);
  const targets = tokens.slice(1, 17);

  it("adds its load balancing to the loss, as loops over the router's logits say", async () => {
    const reference = new ReferenceBackend();
    const student = experts(0.25);
    const options = { batchSize, blockSize, kdWeight: 0, kdTemperature: 1, teacher: null };
    const { loss, parts } = languageLoss(student, options);
    const plain = languageLoss(student, { ...options, teacher: experts(0.25), kdWeight: 0.5 }).parts;
    expect(Object.keys(plain).sort()).toEqual(["auxLoss", "ceLoss", "kdLoss"]);
    const router = [...student.variables()].find(([path]) => path.endsWith("router.weight"))?.[1].tensor as Tensor;
    const [of, ofAux, ofCe] = [loss, parts["auxLoss"], parts["ceLoss"]].map((t) => grad(t as Tensor, [router])[0]) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const { traced } = traceForward(student, input("tokens", [batchSize, blockSize], "int32"), (path) =>
      path.endsWith(".router"),
    );
    const logits = Object.fromEntries(traced.map(({ output }, i) => [`router ${i}`, output]));
    const program = await compile({ outputs: { loss, ...parts, ...logits, of, ofAux, ofCe } }, { backend: reference });
    const found = await program.read({ tokens: ids, targets });
    let aux = 0;
    for (const name of ["router 0", "router 1"]) {
      const rows = found[name] as Float32Array;
      const [share, chance] = [new Float64Array(4), new Float64Array(4)];
      for (let t = 0; t < 16; t++) {
        const row = [...rows.subarray(4 * t, 4 * t + 4)];
        const e = row.map(Math.exp);
        const order = [0, 1, 2, 3].sort((a, b) => (row[b] as number) - (row[a] as number));
        for (let i = 0; i < 4; i++) {
          chance[i] = (chance[i] as number) + (e[i] as number) / e.reduce((a, b) => a + b, 0) / 16;
          share[i] = (share[i] as number) + (order.indexOf(i) < 2 ? 1 : 0) / 32;
        }
      }
      aux += 0.25 * 4 * chance.reduce((sum, p, i) => sum + p * (share[i] as number), 0);
    }
    expect(found["auxLoss"]?.[0]).toBeCloseTo(aux, 6);
    expect(found["loss"]?.[0]).toBeCloseTo((found["ceLoss"]?.[0] as number) + aux, 6);
    expect(found["ofAux"]?.some((v) => v !== 0)).toBe(true);
    found["of"]?.forEach((v, i) => {
      expect(v).toBeCloseTo((found["ofAux"]?.[i] as number) + (found["ofCe"]?.[i] as number), 6);
    });
    // What validates leaves it out.
    const scorer = await WindowScorer.open(student, { backend: reference, batchSize, blockSize });
    const validation = await validate({ scorer, tokens: ids, targets });
    expect(validation).toBeCloseTo(found["ceLoss"]?.[0] as number, 5);
  });

  it("learns, and reports the parts of its loss", async () => {
    const events = await train(experts(0.01), 60, { gradClipNorm: 1 });
    for (const { loss, metrics } of events) {
      expect(Object.keys(metrics).sort()).toEqual(["auxLoss", "ceLoss"]);
      expect(metrics["auxLoss"]).toBeGreaterThan(0.01);
      expect(loss).toBeCloseTo((metrics["ceLoss"] as number) + (metrics["auxLoss"] as number), 5);
    }
    const losses = events.map(({ loss }) => loss);
    expect(mean(losses.slice(-10))).toBeLessThan(0.8 * mean(losses.slice(0, 5)));
  });

  it("comes to balance where it was not", async () => {
    const collapsed = async (weight: number) => {
      const of = experts(weight);
      for (const [path, variable] of of.variables()) {
        if (!path.endsWith("router.weight")) continue;
        const w = (await variable.read()) as Float32Array;
        variable.write(w.map((v, i) => v + (i % 4 < 2 ? 0.4 : 0) * Math.sign(w[4 * Math.floor(i / 4)] as number)));
      }
      const events = await train(of, 40, { batchSize: 8, blockSize: 16 });
      return events.map(({ metrics }) => (metrics["auxLoss"] as number) / weight / 2);
    };
    const [light, heavy] = [await collapsed(1e-6), await collapsed(1)];
    expect(heavy[0]).toBeCloseTo(light[0] as number, 5);
    expect(mean(heavy.slice(-5))).toBeLessThan(mean(light.slice(-5)));
    expect(mean(heavy.slice(-5))).toBeLessThan(1.05);
  });

  it("takes the same steps with its blocks recomputed, and with the micro batches of accumulation", async () => {
    for (const extra of [{}, { gradientAccumulationSteps: 2 }]) {
      const kept = await train(experts(0.1), 4, extra);
      const again = await train(experts(0.1), 4, { ...extra, activationCheckpointing: true });
      again.forEach(({ loss, metrics }, i) => {
        expect(loss).toBeCloseTo(kept[i]?.loss as number, 5);
        expect(metrics["auxLoss"]).toBeCloseTo(kept[i]?.metrics["auxLoss"] as number, 5);
      });
    }
  });
});

it("low-rank updates learn while their base stays as it was", async () => {
  const lora = { type: "LoRALinearLayer", dIn: 16, dOut: 16, r: 4, dropout: 0.05 } as const;
  const student = model([lora, { type: "DenseLayer", dIn: 16, dOut: 16, activation: "gelu" }]);
  const base = [...student.variables()].filter(([, v]) => !v.trainable);
  expect(base.map(([path]) => path.replace(/^.*layers\.\d+\./, ""))).toEqual(["weight", "bias", "weight", "bias"]);
  const before = await Promise.all(base.map(([, v]) => v.read()));
  const updates = [...student.variables()].filter(([path]) => path.endsWith("lora_b"));
  const events = await train(student, 60);
  for (const [i, [path, v]] of base.entries()) expect(await v.read(), path).toEqual(before[i]);
  for (const [path, v] of updates)
    expect(
      (await v.read()).some((x) => x !== 0),
      path,
    ).toBe(true);
  const losses = events.map(({ loss, metrics }) => {
    expect(metrics).toEqual({});
    return loss;
  });
  expect(mean(losses.slice(-10))).toBeLessThan(0.8 * mean(losses.slice(0, 5)));
});
