// Attention against PyTorch (fixtures/layers/generate.py: F.scaled_dot_product_attention in float64, and its
// gradients) in every mode, and against plain loops on random configurations.
import { readFileSync } from "node:fs";
import type { AttentionLayerInput } from "@caramba/config";
import {
  compile,
  Graph,
  grad,
  graphFlops,
  input,
  lowerComposites,
  mul,
  Philox,
  peakLiveBytes,
  ReferenceBackend,
  sum,
} from "@caramba/tensor";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { AttentionLayer } from "./attention.ts";

interface Numbers {
  readonly shape: number[];
  readonly data: number[];
}

interface Case {
  readonly name: string;
  readonly config: AttentionLayerInput;
  readonly x: Numbers;
  readonly weights: Record<string, Numbers>;
  readonly y: Numbers;
  readonly seed: Numbers;
  readonly gradX: Numbers;
  readonly gradWeights: Record<string, Numbers>;
}

const backend = new ReferenceBackend();
const fixture = new URL("../../../fixtures/layers/attention.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(fixture, "utf8")) as { cases: Case[] };

function expectClose(found: ArrayLike<number> | undefined, expected: ArrayLike<number>, tolerance = 1e-5): void {
  expect(found?.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [found?.[i] as number, expected[i] as number];
    if (!(Math.abs(a - b) <= tolerance * (1 + Math.abs(b)))) expect.fail(`at ${i}: found ${a}, expected ${b}`);
  }
}

async function forward(layer: AttentionLayer, x: Numbers): Promise<Float32Array> {
  const program = await compile({ outputs: { y: layer.forward(input("x", x.shape)) } }, { backend });
  return (await program.read({ x: Float32Array.from(x.data) }))["y"] as Float32Array;
}

describe("attention against PyTorch", () => {
  it.each(cases)("$name", async ({ config, x, weights, y, seed, gradX, gradWeights }) => {
    const layer = new AttentionLayer(config);
    const variables = new Map([...layer.variables()].filter(([, variable]) => variable.trainable));
    expect([...variables.keys()].sort()).toEqual(Object.keys(weights).sort());
    for (const [name, variable] of variables) {
      expect(variable.shape, name).toEqual(weights[name]?.shape);
      variable.write(Float32Array.from(weights[name]?.data ?? []));
    }
    const given = input("x", x.shape);
    const output = layer.forward(given);
    const loss = sum(mul(output, input("seed", seed.shape)));
    const grads = grad(loss, [given, ...[...variables.values()].map((v) => v.tensor)]);
    const names = ["x", ...variables.keys()];
    const outputs = Object.fromEntries(grads.map((g, i) => [`d ${names[i]}`, g]));
    const program = await compile({ outputs: { y: output, ...outputs } }, { backend });
    const found = await program.read({ x: Float32Array.from(x.data), seed: Float32Array.from(seed.data) });
    expectClose(found["y"], y.data);
    expectClose(found["d x"], gradX.data);
    for (const name of variables.keys()) expectClose(found[`d ${name}`], gradWeights[name]?.data ?? []);
  });
});

/** The same formulas as loops in float64: x [T, D] of one sequence -> [T, D]. */
function naive(layer: AttentionLayer, weights: Map<string, Float32Array>, x: readonly number[][]): number[][] {
  const { config } = layer;
  const h = config.nHeads;
  const hkv = config.nKvHeads ?? h;
  const decoupled = config.mode === "decoupled";
  const project = (name: string, rows: readonly number[][]): number[][] => {
    const w = weights.get(`${name}.weight`) as Float32Array;
    const out = w.length / (rows[0]?.length as number);
    return rows.map((row) =>
      Array.from({ length: out }, (_, j) => row.reduce((s, v, i) => s + v * (w[i * out + j] as number), 0)),
    );
  };
  const head = (rows: number[][], count: number, n: number): number[][] => {
    const width = (rows[0]?.length as number) / count;
    return rows.map((row) => row.slice(n * width, (n + 1) * width));
  };
  const rotated = (rows: number[][]): number[][] =>
    rows.map((row, position) => {
      const half = row.length / 2;
      return row.map((v, i) => {
        const angle = position * config.ropeBase ** ((-2 * (i % half)) / row.length);
        const partner = i < half ? -(row[i + half] as number) : (row[i - half] as number);
        return v * Math.cos(angle) + partner * Math.sin(angle);
      });
    });
  const dot = (a: number[], b: number[]): number => a.reduce((s, v, i) => s + v * (b[i] as number), 0);
  const parts = decoupled ? (["sem", "geo"] as const) : (["all"] as const);
  const merged: number[][] = x.map(() => []);
  for (let n = 0; n < h; n++) {
    const group = Math.floor((n * hkv) / h);
    const scores = x.map(() => x.map(() => 0));
    for (const part of parts) {
      const suffix = part === "all" ? "proj" : `${part}_proj`;
      const turn = config.ropeEnabled && part !== "sem" ? rotated : (rows: number[][]) => rows;
      const q = turn(head(project(`q_${suffix}`, x), h, n));
      const k = turn(head(project(`k_${suffix}`, x), hkv, group));
      const gamma = config.decoupledGate ? ((weights.get("gate") as Float32Array)[n] as number) : 0;
      const g = 2 / (1 + Math.exp(-gamma));
      const weight = part === "sem" ? g : part === "geo" ? 2 - g : 1;
      for (let i = 0; i < x.length; i++)
        for (let j = 0; j < x.length; j++)
          (scores[i] as number[])[j] =
            ((scores[i] as number[])[j] as number) +
            (weight * dot(q[i] as number[], k[j] as number[])) / Math.sqrt(q[i]?.length as number);
    }
    const v = head(project("v_proj", x), hkv, group);
    for (let i = 0; i < x.length; i++) {
      const seen = (j: number): boolean =>
        (!config.isCausal || j <= i) && (config.localWindow === null || Math.abs(i - j) < config.localWindow);
      const e = x.map((_, j) => (seen(j) ? Math.exp((scores[i] as number[])[j] as number) : 0));
      const total = e.reduce((a, b) => a + b, 0);
      for (let c = 0; c < (v[0]?.length as number); c++)
        merged[i]?.push(e.reduce((s, p, j) => s + (p / total) * ((v[j] as number[])[c] as number), 0));
    }
  }
  return project("out_proj", merged);
}

test("attention equals plain loops on random configurations", async () => {
  const config = fc.record({
    nKvHeads: fc.constantFrom(1, 2, 4),
    groups: fc.constantFrom(1, 2, 3),
    dModel: fc.constantFrom(8, 12),
    valueHead: fc.constantFrom(2, 4),
    decoupled: fc.boolean(),
    ds: fc.integer({ min: 1, max: 3 }),
    dg: fc.constantFrom(2, 4),
    ropeEnabled: fc.boolean(),
    decoupledGate: fc.boolean(),
    isCausal: fc.boolean(),
    localWindow: fc.option(fc.integer({ min: 1, max: 6 })),
    length: fc.integer({ min: 1, max: 6 }),
    seed: fc.nat(1000),
  });
  await fc.assert(
    fc.asyncProperty(config, async (c) => {
      const nHeads = c.nKvHeads * c.groups;
      const { dModel, nKvHeads, ropeEnabled, isCausal, localWindow } = c;
      const shared = { dModel, nHeads, nKvHeads, attnDim: c.valueHead * nHeads, ropeEnabled, isCausal, localWindow };
      const layer = new AttentionLayer(
        c.decoupled
          ? {
              ...shared,
              mode: "decoupled",
              semDim: c.ds * nHeads,
              geoDim: c.dg * nHeads,
              decoupledGate: c.decoupledGate,
            }
          : { ...shared, mode: "gqa" },
      ).adopt(c.seed);
      const random = new Philox(c.seed, 1);
      const weights = new Map<string, Float32Array>();
      for (const [name, variable] of layer.variables()) {
        if (!variable.trainable) continue;
        const values = Float32Array.from({ length: variable.size }, () => random.normal() / 2);
        weights.set(name, values);
        variable.write(values.slice());
      }
      const x = Array.from({ length: c.length }, () =>
        Array.from({ length: dModel }, () => Math.fround(random.normal())),
      );
      const found = await forward(layer, { shape: [1, c.length, dModel], data: x.flat() });
      expectClose(found, naive(layer, weights, x).flat());
    }),
    { numRuns: 60 },
  );
});

describe("AttentionLayer", () => {
  const dba = { dModel: 8, nHeads: 4, mode: "decoupled", semDim: 4, geoDim: 8 } as const;
  const x = { shape: [1, 6, 8], data: Array.from({ length: 48 }, (_, i) => Math.sin(i * 1.7)) };

  it("is the same with a new gate as without one", async () => {
    const plain = new AttentionLayer(dba).adopt(5);
    const gated = new AttentionLayer({ ...dba, decoupledGate: true }).adopt(5);
    expectClose(await forward(gated, x), await forward(plain, x), 1e-7);
    await gated.gate?.write(Float32Array.of(1, 0, 0, 0));
    expect(await forward(gated, x)).not.toEqual(await forward(plain, x));
  });

  it("gives the same result in chunks of queries", async () => {
    const whole = await forward(new AttentionLayer(dba).adopt(5), x);
    expectClose(await forward(new AttentionLayer({ ...dba, qChunk: 2 }).adopt(5), x), whole, 1e-7);
  });

  it("puts new tokens at the positions it is told", async () => {
    // Shifting all positions by the same amount leaves rotary scores as they are.
    const layer = new AttentionLayer({ dModel: 8, nHeads: 2 }).adopt(1);
    const y = layer.forward(input("x", x.shape), { positions: input("positions", [6], "int32") });
    const program = await compile({ outputs: { y } }, { backend });
    const at = async (first: number) =>
      (
        await program.read({
          x: Float32Array.from(x.data),
          positions: Int32Array.from({ length: 6 }, (_, i) => first + i),
        })
      )["y"] as Float32Array;
    expectClose(await at(0), await forward(layer, x), 1e-7);
    expectClose(await at(100), await forward(layer, x), 1e-4);
    const scattered = await program.read({ x: Float32Array.from(x.data), positions: Int32Array.of(0, 2, 4, 6, 8, 10) });
    expect(scattered["y"]).not.toEqual(await forward(layer, x));
  });

  it("is the same with every learned extra at its start, but for the null key", async () => {
    const plain = new AttentionLayer({ ...dba, decoupledGate: false }).adopt(5);
    const extra = new AttentionLayer({
      ...dba,
      decoupledGate: true,
      decoupledGateDynamic: true,
      learnedTemp: true,
    }).adopt(5);
    expectClose(await forward(extra, x), await forward(plain, x), 1e-7);
    const withNull = new AttentionLayer({ ...dba, nullAttn: true }).adopt(5);
    // The first token shares its attention between itself and the null key, whose value is near 0.
    const [own, shared] = [await forward(plain, x), await forward(withNull, x)];
    for (let i = 0; i < 8; i++) {
      const share = (shared[i] as number) / (own[i] as number);
      expect(Math.abs(own[i] as number) < 0.05 || (share > 0.2 && share < 0.8), `${share}`).toBe(true);
    }
  });

  it("bounds the temperature on both sides", async () => {
    const at = async (s: number) => {
      const layer = new AttentionLayer({ ...dba, learnedTemp: true }).adopt(5);
      layer.temperature?.write(new Float32Array(4).fill(s));
      return forward(layer, x);
    };
    expect(await at(9)).toEqual(await at(8));
    expect(await at(-9)).toEqual(await at(-8));
    expect(await at(7)).not.toEqual(await at(8));
  });

  it("drops weights of attention while training only, and the same ones in blocks of queries", async () => {
    const config = { ...dba, dropoutP: 0.5, nullAttn: true, localWindow: 3 };
    const layer = new AttentionLayer(config).adopt(5);
    const outputs = { y: layer.forward(input("x", x.shape), { training: true }) };
    const blocks = { y: layer.forward(input("x", x.shape), { training: true, qChunk: 4 }) };
    const run = async (out: typeof outputs, step: number) =>
      (await (await compile({ outputs: out }, { backend })).read({ x: Float32Array.from(x.data) }, { seed: 1, step }))[
        "y"
      ] as Float32Array;
    const first = await run(outputs, 1);
    expect(await run(outputs, 1)).toEqual(first);
    expect(await run(outputs, 2)).not.toEqual(first);
    expectClose(await run(blocks, 1), first, 1e-6);
    const still = new AttentionLayer({ ...config, dropoutP: 0 }).adopt(5);
    expectClose(await forward(layer, x), await forward(still, x), 1e-7);
    // Expected values are those without dropout.
    const mean = new Float32Array(first.length);
    for (let step = 0; step < 400; step++)
      (await run(outputs, step)).forEach((v, i) => {
        mean[i] = (mean[i] as number) + v / 400;
      });
    const expected = await forward(still, x);
    mean.forEach((v, i) => {
      expect(Math.abs(v - (expected[i] as number))).toBeLessThan(0.12);
    });
  });

  it("lets the context choose the window", async () => {
    const at = async (localWindow: number | null, given?: number | null) => {
      const layer = new AttentionLayer({ ...dba, localWindow }).adopt(5);
      const y = layer.forward(input("x", x.shape), given === undefined ? {} : { localWindow: given });
      return (await (await compile({ outputs: { y } }, { backend })).read({ x: Float32Array.from(x.data) }))["y"];
    };
    expect(await at(null, 2)).toEqual(await at(2));
    expect(await at(4, 2)).toEqual(await at(2));
    expect(await at(4, null)).toEqual(await at(null));
    expect(await at(2)).not.toEqual(await at(null));
  });

  it("needs less memory in blocks of queries, and about half the products", () => {
    const graph = (qChunk: number | null) => {
      const layer = new AttentionLayer({ dModel: 8, nHeads: 2 }).adopt(5);
      return new Graph([layer.forward(input("x", [1, 256, 8]), { qChunk })]);
    };
    const [whole, blocks] = [graph(null), graph(16)];
    const peak = (g: Graph) => peakLiveBytes(lowerComposites(new Set(["softmax"]))(g));
    expect(peak(blocks)).toBeLessThan(peak(whole) / 4);
    const scores = (g: Graph) => graphFlops(g) - 4 * 2 * 256 * 8 * 8;
    expect(scores(blocks) / scores(whole)).toBeCloseTo((1 + 1 / 16) / 2, 5);
  });

  it("counts the products of a step over a cache, null key included", () => {
    const layer = new AttentionLayer({ dModel: 8, nHeads: 2, nullAttn: true });
    const past = { k: input("k", [5, 2, 4]), v: input("v", [5, 2, 4]) };
    const context = { cache: () => ({ past, append: () => undefined }) };
    const flops = graphFlops(new Graph([layer.forward(input("x", [1, 3, 8]), context)]));
    // Four projections of three tokens; scores and values of 2 heads x 3 queries x (1 + 5 + 3) keys, 4 wide.
    expect(flops).toBe(4 * 2 * 3 * 8 * 8 + 2 * 2 * 2 * 3 * 9 * 4);
  });

  it("refuses dropout over a cache", () => {
    const layer = new AttentionLayer({ dModel: 8, nHeads: 2, dropoutP: 0.1 });
    const past = { k: input("k", [3, 2, 4]), v: input("v", [3, 2, 4]) };
    const context = { training: true, cache: () => ({ past, append: () => undefined }) };
    expect(() => layer.forward(input("x", [1, 2, 8]), context)).toThrow(
      expect.objectContaining({ code: "unsupported", remedy: expect.stringContaining("without a cache") }) as Error,
    );
  });

  it("has a cache as wide as its keys and values", () => {
    expect(new AttentionLayer({ ...dba, nKvHeads: 2, attnDim: 4 }).cacheParts).toEqual([
      { name: "k", heads: 2, width: 1 + 2 },
      { name: "v", heads: 2, width: 1 },
    ]);
    expect(new AttentionLayer({ dModel: 8, nHeads: 4, nKvHeads: 1 }).cacheParts).toEqual([
      { name: "k", heads: 1, width: 2 },
      { name: "v", heads: 1, width: 2 },
    ]);
  });
});
