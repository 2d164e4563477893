import { describe, expect, test } from "vitest";
import { valueAndGrad } from "./autodiff.ts";
import { buildCase, checkFiniteDifferences, opCases, runOn, weightedSum } from "./matrix.ts";
import { mul, neg } from "./ops/elementwise.ts";
import { ReferenceBackend } from "./reference.ts";
import { composites, primitives } from "./registry.ts";
import { makeNode } from "./tensor.ts";

const cases = opCases();

test("every op has samples and can be computed", () => {
  for (const op of [...primitives, ...composites]) {
    expect(op.samples?.length, op.name).toBeGreaterThan(0);
    expect(Boolean(op.evaluate) !== Boolean(op.decompose), op.name).toBe(true);
  }
});

describe("gradients agree with central differences in float64", () => {
  for (const row of cases.filter((c) => c.sample.differentiable !== false))
    test(row.name, async () => {
      expect(await checkFiniteDifferences(row)).toBeLessThan(1e-6);
    });
});

test("a wrong gradient is caught", async () => {
  const good = cases.find((c) => c.op.name === "mul");
  if (!good) throw new Error("mul has no case");
  const wrong = { ...good.op, name: "wrongMul", vjp: () => [null, null] as const };
  await expect(checkFiniteDifferences({ ...good, op: wrong })).rejects.toThrow(/exceeds/);
});

test("composites equal their decomposition built by hand", async () => {
  const backend = new ReferenceBackend();
  const row = cases.find((c) => c.op.name === "swiglu");
  if (!row) throw new Error("swiglu has no case");
  const { output, leaves, values } = buildCase(row);
  const [y] = await runOn(backend, [output], leaves, values);
  const [gate, up] = values as [Float32Array, Float32Array];
  y?.forEach((v, i) => {
    const g = gate[i] as number;
    expect(v).toBeCloseTo((g / (1 + Math.exp(-g))) * (up[i] as number), 6);
  });
});

test("gradients through a composite without a rule share the forward nodes", () => {
  const row = cases.find((c) => c.op.name === "attention");
  if (!row) throw new Error("attention has no case");
  const { output, leaves } = buildCase(row);
  const { value, grads } = valueAndGrad(weightedSum(output), leaves);
  const names = new Set<string>();
  const walk = (t: typeof value): void => {
    names.add(t.op.name);
    t.inputs.forEach(walk);
  };
  [value, ...grads].forEach(walk);
  expect(names.has("attention")).toBe(false);
});

test("equal expressions are one node", () => {
  const row = cases.find((c) => c.op.name === "add");
  if (!row) throw new Error("add has no case");
  const { leaves } = buildCase(row);
  const [a, b] = leaves as [(typeof leaves)[0], (typeof leaves)[0]];
  expect(mul(a, b)).toBe(mul(a, b));
  expect(mul(a, b)).not.toBe(mul(b, a));
  expect(makeNode(neg(a).op, [a], {})).toBe(neg(a));
});
