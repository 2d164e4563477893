// Topologies against compositions written out by hand.
import { linearLayerConfig, topologyConfig } from "@caramba/config";
import type { Module } from "@caramba/layers";
import { compile, input, ReferenceBackend } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { buildTopology } from "./registry.ts";

const backend = new ReferenceBackend();
const linear = { type: "LinearLayer", dIn: 2, dOut: 2 } as const;
const start = [0.5, -2];

async function run(module: Module, x: readonly number[] = start): Promise<number[]> {
  const program = await compile({ outputs: { y: module.forward(input("x", [1, 1, 2])) } }, { backend });
  return [...((await program.read({ x: Float32Array.from(x) }))["y"] as Float32Array)];
}

/** The n-th linear map: distinct numbers, exact in float32. */
const weightOf = (n: number) => [0.5 + n, -1, 0.25 * n, 1 - n];
const biasOf = (n: number) => [n, -0.5];

/** Numbers the module's linear maps in order of use and returns their paths. */
function number(module: Module): string[] {
  const layers = module.modules().filter(({ module: m }) => m.type === "LinearLayer");
  layers.forEach(({ module: m }, n) => {
    const [weight, bias] = m.ownVariables.map(([, variable]) => variable);
    weight?.write(Float32Array.from(weightOf(n)));
    bias?.write(Float32Array.from(biasOf(n)));
  });
  return layers.map(({ path }) => path);
}

const apply = (n: number, [a = 0, b = 0]: readonly number[]): number[] => {
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = weightOf(n);
  const [b0 = 0, b1 = 0] = biasOf(n);
  return [a * w0 + b * w2 + b0, a * w1 + b * w3 + b1];
};
const plus = (a: readonly number[], b: readonly number[]) => a.map((v, i) => v + (b[i] as number));

describe.each(["StackedTopology", "SequentialTopology", "NestedTopology"] as const)("%s", (type) => {
  it("applies its layers in order", async () => {
    const module = buildTopology(topologyConfig({ type, layers: [linear, linear] }));
    expect(module.type).toBe(type);
    expect(number(module)).toEqual(["layers.0", "layers.1"]);
    expect(await run(module)).toEqual(apply(1, apply(0, start)));
  });

  it("repeats its layers with weights of their own", async () => {
    const module = buildTopology(topologyConfig({ type, layers: [linear, linear], repeat: 3 }));
    expect(number(module)).toHaveLength(6);
    expect(module.variables().size).toBe(12);
    expect(await run(module)).toEqual([0, 1, 2, 3, 4, 5].reduce((x, n) => apply(n, x), start));
    const initial = buildTopology(topologyConfig({ type, layers: [linear], repeat: 2 })).adopt(4);
    const [first, second] = [...initial.variables().values()].filter((v) => v.shape.length === 2);
    expect(await first?.read()).not.toEqual(await second?.read());
  });
});

describe("ResidualTopology", () => {
  it("adds its input once, around all children", async () => {
    const module = buildTopology(topologyConfig({ type: "ResidualTopology", layers: [linear, linear] }));
    number(module);
    expect(await run(module)).toEqual(plus(start, apply(1, apply(0, start))));
  });

  it("nests", async () => {
    const residual = { type: "ResidualTopology", layers: [linear] } as const;
    const module = buildTopology(
      topologyConfig({
        type: "StackedTopology",
        layers: [{ type: "NestedTopology", repeat: 2, layers: [residual, residual] }, linear],
      }),
    );
    expect(number(module)).toEqual([
      "layers.0.layers.0.layers.0",
      "layers.0.layers.1.layers.0",
      "layers.0.layers.2.layers.0",
      "layers.0.layers.3.layers.0",
      "layers.1",
    ]);
    const inner = [0, 1, 2, 3].reduce((x, n) => plus(x, apply(n, x)), start);
    expect(await run(module)).toEqual(apply(4, inner));
  });
});

it.each([
  { type: "ParallelTopology", layers: [linear], repeat: 1 },
  { type: "BranchingTopology", layers: [linear], repeat: 1, dim: -1 },
  { type: "CyclicTopology", layers: [linear], iterations: 2 },
  { type: "RecurrentTopology", layers: [linear], repeat: 1 },
] as const)("$type is refused with a remedy, also deep inside", (config) => {
  const inner = { ...config, layers: [linearLayerConfig({ dIn: 2, dOut: 2 })] };
  const refusal = expect.objectContaining({
    code: "unsupported",
    message: expect.stringContaining(config.type),
    remedy: expect.stringContaining("ResidualTopology"),
  }) as Error;
  expect(() => buildTopology(inner)).toThrow(refusal);
  expect(() => buildTopology({ type: "StackedTopology", layers: [inner], repeat: 1 })).toThrow(refusal);
});
