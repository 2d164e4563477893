// Topologies against compositions written out by hand.
import { type NodeInput, topologyConfig } from "@caramba/config";
import type { Module } from "@caramba/layers";
import {
  compile,
  constant,
  Graph,
  grad,
  input,
  ReferenceBackend,
  sum,
  type Tensor,
  type Variable,
  withScope,
} from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { ParallelTopology } from "./branches.ts";
import type { RecurrentTopology } from "./recurrent.ts";
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

describe("ParallelTopology", () => {
  it("stacks what its children make of the same input on a new axis 0", async () => {
    const module = buildTopology(topologyConfig({ type: "ParallelTopology", layers: [linear, linear], repeat: 2 }));
    expect(number(module)).toHaveLength(4);
    expect(module.forward(input("x", [3, 5, 2])).shape).toEqual([4, 3, 5, 2]);
    expect(await run(module)).toEqual([0, 1, 2, 3].flatMap((n) => apply(n, start)));
  });

  it("needs a child", () => {
    expect(() => new ParallelTopology([])).toThrow(/at least one child/);
  });
});

describe("BranchingTopology", () => {
  it("adds widths up on the last axis, where the original joined the batch", async () => {
    const module = buildTopology(topologyConfig({ type: "BranchingTopology", layers: [linear, linear] }));
    number(module);
    expect(module.forward(input("x", [3, 5, 2])).shape).toEqual([3, 5, 4]);
    expect(await run(module)).toEqual([...apply(0, start), ...apply(1, start)]);
  });

  it("joins on another axis when asked to", () => {
    const module = buildTopology(topologyConfig({ type: "BranchingTopology", layers: [linear, linear], dim: 0 }));
    expect(module.forward(input("x", [3, 5, 2])).shape).toEqual([6, 5, 2]);
  });
});

describe("CyclicTopology", () => {
  it("goes round with one set of weights", async () => {
    const module = buildTopology(
      topologyConfig({ type: "CyclicTopology", iterations: 3, layers: [linear, linear] }),
    ).adopt();
    expect(number(module)).toEqual(["layers.0", "layers.1"]);
    expect([...module.variables().keys()]).toEqual([
      "layers.0.weight",
      "layers.0.bias",
      "layers.1.weight",
      "layers.1.bias",
    ]);
    const pass = (x: readonly number[]) => apply(1, apply(0, x));
    expect(await run(module)).toEqual(pass(pass(pass(start))));
  });

  it("gives attention a cache slot for each pass, and dropout a draw for each", () => {
    const module = buildTopology(
      topologyConfig({
        type: "CyclicTopology",
        iterations: 2,
        layers: [
          { type: "AttentionLayer", dModel: 4, nHeads: 2 },
          { type: "DropoutLayer", p: 0.5 },
        ],
      }),
    );
    const slots: string[] = [];
    const y = module.forward(input("x", [1, 3, 4]), {
      training: true,
      cache: (path) => {
        slots.push(path);
        return { past: null, append: () => {} };
      },
    });
    expect(slots).toEqual(["pass.0.layers.0", "pass.1.layers.0"]);
    const draws = new Graph([y]).inputs.flatMap(({ leaf }) => (leaf?.kind === "random" ? [leaf.name] : []));
    expect(draws.sort()).toEqual(["dropout:pass.0.layers.1", "dropout:pass.1.layers.1"]);
  });

  it("has the gradient of all its passes", async () => {
    const x = constant(Float32Array.from(start), [1, 1, 2]);
    const module = buildTopology(topologyConfig({ type: "CyclicTopology", iterations: 2, layers: [linear] }));
    number(module);
    const [weight] = [...module.variables().values()] as [Variable];
    const lossAt = async (values: readonly number[]): Promise<number> => {
      weight.write(Float32Array.from(values));
      const program = await compile({ outputs: { y: sum(module.forward(x)) } }, { backend });
      return ((await program.read())["y"] as Float32Array)[0] as number;
    };
    const values = weightOf(0);
    const loss = sum(module.forward(x));
    const [g] = grad(loss, [weight.tensor]) as [Tensor];
    const found = (await (await compile({ outputs: { g } }, { backend })).read())["g"] as Float32Array;
    for (const [i, value] of values.entries()) {
      const moved = (by: number) => values.map((v, j) => (j === i ? value + by : v));
      const slope = ((await lossAt(moved(0.25))) - (await lossAt(moved(-0.25)))) / 0.5;
      // The loss is quadratic in each weight: the central difference is exact.
      expect(found[i]).toBeCloseTo(slope, 4);
    }
  });
});

describe("RecurrentTopology", () => {
  const recurrent = () =>
    buildTopology(
      topologyConfig({
        type: "RecurrentTopology",
        layers: [
          { type: "Conv1dLayer", dModel: 2, kernelSize: 3 },
          { type: "ResidualTopology", layers: [linear] },
          { type: "Conv1dLayer", dModel: 2, kernelSize: 2 },
        ],
      }),
    ).adopt(3) as RecurrentTopology;
  const tokens = Float32Array.from({ length: 14 }, (_, i) => Math.sin(3 * i));
  const values = async (y: Tensor): Promise<number[]> => {
    const { y: found } = await (await compile({ outputs: { y } }, { backend })).read();
    return [...(found as Float32Array)];
  };

  it("returns states with its output, and goes on from them", async () => {
    const module = recurrent();
    const whole = await values(module.forward(constant(tokens, [1, 7, 2])));
    const first = module.forwardWithStates(constant(tokens.slice(0, 8), [1, 4, 2]));
    expect([...first.states.keys()]).toEqual(["layers.0", "layers.2"]);
    const second = module.forwardWithStates(constant(tokens.slice(8), [1, 3, 2]), first.states);
    const pieces = [...(await values(first.output)), ...(await values(second.output))];
    for (const [i, value] of whole.entries()) expect(pieces[i]).toBeCloseTo(value, 5);
    const afresh = module.forwardWithStates(constant(tokens.slice(8), [1, 3, 2]));
    expect(await values(afresh.output)).not.toEqual(await values(second.output));
  });

  it("has no states where no layer has a memory, and the same paths below other modules", () => {
    const plain = buildTopology(topologyConfig({ type: "RecurrentTopology", layers: [linear] })) as RecurrentTopology;
    expect(plain.forwardWithStates(input("x", [1, 2, 2])).states.size).toBe(0);
    const inside = withScope("model.topology", () => recurrent().forwardWithStates(input("x", [1, 2, 2])));
    expect([...inside.states.keys()]).toEqual(["layers.0", "layers.2"]);
  });
});

describe("GraphTopology", () => {
  it("runs nodes when their inputs are made, whatever their order, and joins values", async () => {
    const module = buildTopology(
      topologyConfig({
        type: "GraphTopology",
        inputs: ["h"],
        output: "joined",
        nodes: [
          { id: "join", op: "concat", in: ["sum", "product", "a"], out: "joined" },
          { id: "sum", op: "add", in: ["a", "b", "h"], out: "sum" },
          { id: "product", op: "multiply", in: ["a", "b"], out: "product" },
          { id: "second", op: "LinearLayer", in: "a", out: "b", config: { dIn: 2, dOut: 2 } },
          { id: "first", op: "LinearLayer", in: "h", out: "a", config: { dIn: 2, dOut: 2 } },
        ],
      }),
    );
    expect(number(module)).toEqual(["nodes.first", "nodes.second"]);
    const a = apply(0, start);
    const b = apply(1, a);
    const product = a.map((v, i) => v * (b[i] as number));
    expect(await run(module)).toEqual([...plus(plus(a, b), start), ...product, ...a]);
  });

  it("repeats a node as a chain of copies and holds topologies", async () => {
    const module = buildTopology(
      topologyConfig({
        type: "GraphTopology",
        nodes: [
          {
            id: "block",
            op: "ResidualTopology",
            in: "x",
            out: "y",
            config: { layers: [{ type: "LinearLayer", dIn: 2, dOut: 2 }] },
            repeat: 3,
          },
        ],
      }),
    );
    expect(number(module)).toEqual(["nodes.block__0.layers.0", "nodes.block__1.layers.0", "nodes.block__2.layers.0"]);
    expect(await run(module)).toEqual([0, 1, 2].reduce((x, n) => plus(x, apply(n, x)), start));
  });
});

it("nests every kind in every other", async () => {
  const inner = (layer: NodeInput): NodeInput[] => [
    { type: "BranchingTopology", layers: [layer, { type: "CyclicTopology", iterations: 2, layers: [layer] }] },
    { type: "LinearLayer", dIn: 4, dOut: 2 },
  ];
  const module = buildTopology(
    topologyConfig({
      type: "RecurrentTopology",
      layers: [
        {
          type: "ResidualTopology",
          layers: inner({
            type: "GraphTopology",
            nodes: [{ id: "l", op: "LinearLayer", in: "x", out: "y", config: { dIn: 2, dOut: 2 } }],
          }),
        },
        { type: "ParallelTopology", layers: [{ type: "NestedTopology", repeat: 2, layers: [linear] }] },
      ],
    }),
  );
  expect(module.forward(input("x", [3, 5, 2])).shape).toEqual([1, 3, 5, 2]);
  expect((await run(module)).every(Number.isFinite)).toBe(true);
});
