// Optimizer steps against loops in float64 that follow the papers' formulas, on a least-squares problem whose gradient
// is known in closed form.
import { trainConfig } from "@caramba/config";
import {
  add,
  input,
  matmul,
  mean,
  mul,
  Philox,
  ReferenceBackend,
  random,
  sqrt,
  sub,
  sum,
  Variable,
} from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { TrainStep, type TrainStepSpec } from "./train-step.ts";

const backend = new ReferenceBackend();
const philox = new Philox(5);
const normals = (n: number): Float32Array => Float32Array.from({ length: n }, () => Math.fround(philox.normal()));
const [inputs, outputs] = [3, 2];

/** y = x W + b, loss = mean (y - t)^2 over `rows` rows. */
function problem(rows: number, w0: Float32Array, b0: Float32Array) {
  const w = new Variable("w", [inputs, outputs], { init: () => w0.slice() });
  const b = new Variable("b", [outputs], { init: () => b0.slice() });
  const error = sub(add(matmul(input("x", [rows, inputs]), w.tensor), b.tensor), input("t", [rows, outputs]));
  return {
    loss: mean(mul(error, error)),
    parameters: new Map([
      ["w", w],
      ["b", b],
    ]),
    w,
    b,
  };
}

interface Batch {
  readonly x: Float32Array;
  readonly t: Float32Array;
}
const batch = (rows: number): Batch => ({ x: normals(rows * inputs), t: normals(rows * outputs) });
const concat = (batches: readonly Batch[]): Batch => ({
  x: Float32Array.from(batches.flatMap(({ x }) => [...x])),
  t: Float32Array.from(batches.flatMap(({ t }) => [...t])),
});

/** Loss and gradients [W, b] of the problem, in closed form. */
function gradients(w: readonly number[], b: readonly number[], { x, t }: Batch) {
  const rows = x.length / inputs;
  const [dw, db] = [w.map(() => 0), b.map(() => 0)];
  let loss = 0;
  for (let r = 0; r < rows; r++)
    for (let j = 0; j < outputs; j++) {
      let e = (b[j] as number) - (t[r * outputs + j] as number);
      for (let i = 0; i < inputs; i++) e += (x[r * inputs + i] as number) * (w[i * outputs + j] as number);
      loss += e ** 2 / (rows * outputs);
      const g = (2 * e) / (rows * outputs);
      db[j] = (db[j] as number) + g;
      for (let i = 0; i < inputs; i++)
        dw[i * outputs + j] = (dw[i * outputs + j] as number) + g * (x[r * inputs + i] as number);
    }
  return { loss, dw, db };
}

type Settings = TrainStepSpec["settings"];
const settings = (rest: Partial<Settings>): Settings => ({
  ...trainConfig({ phase: "standard", batchSize: 1, blockSize: 1, lr: 1 }),
  ...rest,
});

/** One parameter under one optimizer, as loops. */
class Naive {
  value: number[];
  readonly #m: number[];
  readonly #v: number[];
  readonly #s: Settings;
  readonly #decay: number;

  constructor(value: Float32Array, matrix: boolean, s: Settings) {
    this.value = [...value];
    this.#m = this.value.map(() => 0);
    this.#v = this.value.map(() => 0);
    this.#s = s;
    this.#decay = matrix ? s.weightDecay : 0;
  }

  step(grad: readonly number[], lr: number, t: number): void {
    const { optimizer, adamBeta1: b1, adamBeta2: b2, adamEps: eps } = this.#s;
    this.value = this.value.map((value, i) => {
      const g = grad[i] as number;
      const p = value * (1 - lr * this.#decay);
      const [m, v] = [this.#m[i] as number, this.#v[i] as number];
      if (optimizer === "sgd") return p - lr * g;
      if (optimizer === "lion") {
        this.#m[i] = b2 * m + (1 - b2) * g;
        return p - lr * Math.sign(b1 * m + (1 - b1) * g);
      }
      this.#m[i] = b1 * m + (1 - b1) * g;
      this.#v[i] = b2 * v + (1 - b2) * g * g;
      const mean = (this.#m[i] as number) / (1 - b1 ** t);
      const variance = (this.#v[i] as number) / (1 - b2 ** t);
      return p - (lr * mean) / (Math.sqrt(variance) + eps);
    });
  }
}

async function expectValue(variable: Variable, expected: readonly number[], tolerance = 1e-6): Promise<void> {
  const found = await variable.read();
  expected.forEach((want, i) => {
    expect(Math.abs((found[i] as number) - want), `${variable.name}[${i}]`).toBeLessThanOrEqual(
      tolerance * (1 + Math.abs(want)),
    );
  });
}

describe.each(["adamw", "lion", "sgd"] as const)("%s", (optimizer) => {
  it.each([0, 0.1])("follows its formula, weight decay %f on matrices only", async (weightDecay) => {
    const s = settings({ optimizer, weightDecay, adamBeta1: 0.8, adamBeta2: 0.9, adamEps: 1e-3 });
    const [w0, b0] = [normals(inputs * outputs), normals(outputs)];
    const { loss, parameters, w, b } = problem(4, w0, b0);
    const step = await TrainStep.compile({ backend, loss, parameters, settings: s, clipNorm: 0 });
    const [nw, nb] = [new Naive(w0, true, s), new Naive(b0, false, s)];
    for (let n = 0; n < 6; n++) {
      const one = batch(4);
      const lr = 0.25 / (n + 1);
      const expected = gradients(nw.value, nb.value, one);
      nw.step(expected.dw, lr, n + 1);
      nb.step(expected.db, lr, n + 1);
      const report = await step.run([{ ...one }], { step: n, lr, seed: 0 });
      expect(report.loss).toBeCloseTo(expected.loss, 5);
      expect(report.gradNorm).toBe(null);
      await expectValue(w, nw.value);
      await expectValue(b, nb.value);
    }
    step.dispose();
  });

  it("accumulates micro batches into the step of one big batch", async () => {
    const [w0, b0] = [normals(inputs * outputs), normals(outputs)];
    const big = problem(6, w0, b0);
    const small = problem(2, w0, b0);
    const common = { backend, clipNorm: 0.5 } as const;
    const whole = await TrainStep.compile({ ...common, ...big, settings: settings({ optimizer }) });
    const accumulated = settings({ optimizer, gradientAccumulationSteps: 3 });
    const parts = await TrainStep.compile({ ...common, ...small, settings: accumulated });
    for (let n = 0; n < 4; n++) {
      const micros = [batch(2), batch(2), batch(2)];
      const at = { step: n, lr: 0.1, seed: 0 };
      const expected = await whole.run([{ ...concat(micros) }], at);
      const found = await parts.run(
        micros.map((m) => ({ ...m })),
        at,
      );
      expect(found.loss).toBeCloseTo(expected.loss, 6);
      expect(found.gradNorm).toBeCloseTo(expected.gradNorm as number, 6);
      await expectValue(small.w, [...((await big.w.read()) as Float32Array)]);
      await expectValue(small.b, [...((await big.b.read()) as Float32Array)]);
    }
  });
});

describe("TrainStep", () => {
  const plain = settings({ optimizer: "sgd", weightDecay: 0 });

  it.each([0.05, 1000])("scales gradients down to a global norm of %f, never up", async (clipNorm) => {
    const [w0, b0] = [normals(inputs * outputs), normals(outputs)];
    const one = batch(4);
    const { loss, parameters, w, b } = problem(4, w0, b0);
    const step = await TrainStep.compile({ backend, loss, parameters, settings: plain, clipNorm });
    const report = await step.run([{ ...one }], { step: 0, lr: 1, seed: 0 });
    const { dw, db } = gradients([...w0], [...b0], one);
    const norm = Math.hypot(...dw, ...db);
    expect(report.gradNorm).toBeCloseTo(norm, 5);
    const scale = Math.min(1, clipNorm / norm);
    await expectValue(
      w,
      [...w0].map((v, i) => v - scale * (dw[i] as number)),
      1e-5,
    );
    await expectValue(
      b,
      [...b0].map((v, i) => v - scale * (db[i] as number)),
      1e-5,
    );
  });

  it("reports further scalars, averaged over micro batches", async () => {
    const { parameters, loss } = problem(1, normals(6), normals(2));
    const metrics = { squares: sum(mul(input("x", [1, inputs]), input("x", [1, inputs]))) };
    const step = await TrainStep.compile({
      backend,
      loss,
      parameters,
      metrics,
      settings: { ...plain, gradientAccumulationSteps: 2 },
      clipNorm: 0,
    });
    const t = new Float32Array(2);
    const micros = [1, 2].map((v) => ({ x: new Float32Array(3).fill(v), t }));
    expect((await step.run(micros, { step: 0, lr: 0, seed: 0 })).metrics).toEqual({ squares: (3 + 12) / 2 });
  });

  it("draws anew at every step and micro step, and the same again for the same step and seed", async () => {
    const { parameters, w } = problem(1, normals(6), normals(2));
    const loss = mean(random("draws", [50]));
    const compiled = (n: number) => {
      const s = { ...plain, gradientAccumulationSteps: n };
      return TrainStep.compile({
        backend,
        loss: add(loss, mul(sum(w.tensor), 0)),
        parameters,
        settings: s,
        clipNorm: 0,
      });
    };
    const [single, double] = [await compiled(1), await compiled(2)];
    const at = async (step: number, seed = 0) => (await single.run([{}], { step, lr: 0, seed })).loss;
    const draws = [await at(0), await at(1), await at(2), await at(3), await at(0, 1)];
    expect(new Set(draws).size).toBe(5);
    expect(await at(2)).toBe(draws[2]);
    for (const step of [0, 1]) {
      const { loss: both } = await double.run([{}, {}], { step, lr: 0, seed: 0 });
      expect(both).toBeCloseTo(((draws[2 * step] as number) + (draws[2 * step + 1] as number)) / 2, 6);
    }
  });

  it.each([1, 2])("leaves everything as it was when the loss is NaN, micro batches %i", async (n) => {
    const { loss, parameters, w, b } = problem(2, normals(6), normals(2));
    const s = settings({ gradientAccumulationSteps: n });
    const step = await TrainStep.compile({ backend, loss, parameters, settings: s, clipNorm: 1 });
    const good = () => Array.from({ length: n }, () => ({ ...batch(2) }));
    await step.run(good(), { step: 0, lr: 0.1, seed: 0 });
    const all = [w, b, ...step.optimizer.m.values(), ...step.optimizer.v.values()];
    const before = await Promise.all(all.map((variable) => variable.read()));
    const bad = good();
    bad.at(-1)?.x.fill(Number.NaN);
    await expect(step.run(bad, { step: 1, lr: 0.1, seed: 0 })).rejects.toMatchObject({
      name: "CarambaError",
      code: "nan",
      message: expect.stringMatching(/diverged at step 2: the loss is NaN/),
      remedy: expect.stringContaining("lr"),
    });
    expect(await Promise.all(all.map((variable) => variable.read()))).toEqual(before);

    // And the next good step is not tainted by what came before the NaN.
    const again = problem(2, before[0] as Float32Array, before[1] as Float32Array);
    const fresh = await TrainStep.compile({
      backend,
      ...again,
      settings: settings({ ...plain, gradientAccumulationSteps: n }),
      clipNorm: 0,
    });
    const spoilt = await TrainStep.compile({
      backend,
      loss,
      parameters,
      settings: settings({ ...plain, gradientAccumulationSteps: n }),
      clipNorm: 0,
    });
    await expect(spoilt.run(bad, { step: 1, lr: 0.1, seed: 0 })).rejects.toThrow(/diverged/);
    const next = good();
    await fresh.run(next, { step: 1, lr: 0.1, seed: 0 });
    await spoilt.run(next, { step: 1, lr: 0.1, seed: 0 });
    await expectValue(w, [...((await again.w.read()) as Float32Array)]);
  });

  it("refuses an infinite gradient of a finite loss where gradients are clipped", async () => {
    const p = new Variable("p", [1], { init: () => Float32Array.of(0) });
    // sqrt(0) is 0, its slope infinite.
    const loss = sum(sqrt(p.tensor));
    const step = await TrainStep.compile({
      backend,
      loss,
      parameters: new Map([["p", p]]),
      settings: plain,
      clipNorm: 1,
    });
    await expect(step.run([{}], { step: 0, lr: 1, seed: 0 })).rejects.toMatchObject({ code: "nan" });
    expect(await p.read()).toEqual(Float32Array.of(0));
  });
});
