// What attention is at its start, told by its context, costs and refuses. Values and gradients of every option are in
// attention-options.test.ts, many options together in attention-combinations.test.ts.
import {
  compile,
  Graph,
  grad,
  graphFlops,
  input,
  lowerComposites,
  peakLiveBytes,
  ReferenceBackend,
  sum,
  type Tensor,
} from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { expectClose, type Numbers } from "../test-support/cases.ts";
import { feedWhole } from "../test-support/feed-attention.ts";
import { AttentionLayer } from "./attention.ts";

const backend = new ReferenceBackend();

const forward = (layer: AttentionLayer, x: Numbers): Promise<Float32Array> => feedWhole(backend, layer, x);

const expectSame = (found: Float32Array, expected: Float32Array, tolerance: number): void =>
  expectClose("y", found, expected, tolerance);

describe("AttentionLayer", () => {
  const dba = { dModel: 8, nHeads: 4, mode: "decoupled", semDim: 4, geoDim: 8 } as const;
  const x = { shape: [1, 6, 8], data: Array.from({ length: 48 }, (_, i) => Math.sin(i * 1.7)) };

  it("is the same with a new gate as without one", async () => {
    const plain = new AttentionLayer(dba).adopt(5);
    const gated = new AttentionLayer({ ...dba, decoupledGate: true }).adopt(5);
    expectSame(await forward(gated, x), await forward(plain, x), 1e-7);
    await gated.gate?.write(Float32Array.of(1, 0, 0, 0));
    expect(await forward(gated, x)).not.toEqual(await forward(plain, x));
  });

  it("gives the same result in chunks of queries", async () => {
    const whole = await forward(new AttentionLayer(dba).adopt(5), x);
    expectSame(await forward(new AttentionLayer({ ...dba, qChunk: 2 }).adopt(5), x), whole, 1e-7);
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
    expectSame(await at(0), await forward(layer, x), 1e-7);
    expectSame(await at(100), await forward(layer, x), 1e-4);
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
    expectSame(await forward(extra, x), await forward(plain, x), 1e-7);
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
    expectSame(await run(blocks, 1), first, 1e-6);
    const still = new AttentionLayer({ ...config, dropoutP: 0 }).adopt(5);
    expectSame(await forward(layer, x), await forward(still, x), 1e-7);
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

  it.each([{}, { nullAttn: true }, { localWindow: 2, memBlock: 2 }])(
    "drops everything at probability 1, with no gradient before it: %j",
    async (extra) => {
      const layer = new AttentionLayer({ ...dba, ...extra, dropoutP: 1, bias: true }).adopt(5);
      layer.projections.get("out_proj")?.bias?.write(new Float32Array(8).fill(3));
      const given = input("x", x.shape);
      const y = layer.forward(given, { training: true });
      const [dx] = grad(sum(y), [given]) as [Tensor];
      const found = await (await compile({ outputs: { y, dx } }, { backend })).read({ x: Float32Array.from(x.data) });
      expect(new Set(found["y"])).toEqual(new Set([3]));
      expect(found["dx"]?.every((g) => g === 0)).toBe(true);
    },
  );

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

  it("is not decoded over a cache unless it is causal", () => {
    const layer = new AttentionLayer({ dModel: 8, nHeads: 2, isCausal: false });
    const past = { k: input("k", [3, 2, 4]), v: input("v", [3, 2, 4]) };
    const decode = (given: typeof past | null) =>
      layer.forward(input("x", [1, 2, 8]), { cache: () => ({ past: given, append: () => undefined }) });
    expect(decode(null).shape).toEqual([1, 2, 8]);
    expect(() => decode(past)).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining("yet to come") }) as Error,
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
