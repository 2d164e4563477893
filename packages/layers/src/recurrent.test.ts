// RNNLayer and SSMLayer against PyTorch and Transformers (fixtures/layers/generate_recurrent.py): outputs, last states,
// gradients of both; in pieces over a carried state, over an open number of tokens; initial values, counts, refusals.
import { type LayerConfig, layerSpec } from "@caramba/config";
import {
  add,
  type Backend,
  compile,
  Graph,
  grad,
  graphFlops,
  input,
  mul,
  openBackend,
  Philox,
  sum,
  sym,
  type Tensor,
} from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  expectClose,
  floats,
  type LayerCase,
  loadWeights,
  type Numbers,
  readFixture,
  tokensOf,
} from "../test-support/cases.ts";
import { callChild, type ForwardContext, type Module } from "./module.ts";
import { buildLayer } from "./registry.ts";
import { RNNLayer } from "./rnn.ts";
import { SSMLayer } from "./ssm.ts";

interface Case extends Omit<LayerCase<LayerConfig>, "seed"> {
  readonly states: Record<string, Numbers>;
  /** For y and every last state. */
  readonly seeds: Record<string, Numbers>;
}

const { cases } = readFixture<{ cases: Case[] }>("recurrent.json");
const bidirectional = ({ config }: Case) => "bidirectional" in config && config.bidirectional === true;

function built({ config, weights }: Case): Module {
  const layer = buildLayer(config).adopt();
  loadWeights(layer, weights);
  return layer;
}

/** A forward pass with its state: what it left behind by name, and the inputs for what came before. */
function pass(layer: Module, x: Tensor, begun: boolean): { y: Tensor; after: Map<string, Tensor> } {
  const after = new Map<string, Tensor>();
  const state: ForwardContext["state"] = (path, { stateParts }) => {
    const name = (part: string) => (path === "layer" ? part : `${path.slice("layer.".length)}.${part}`);
    const parts = stateParts.map(
      (part) => [part.name, input(name(part.name), [x.shape[0] ?? 1, ...part.shape])] as const,
    );
    return {
      past: begun ? new Map(parts) : null,
      update: (given) => {
        expect([...given.keys()].sort()).toEqual(stateParts.map((part) => part.name).sort());
        for (const part of stateParts) {
          const value = given.get(part.name) as Tensor;
          expect(value.shape).toEqual([x.shape[0], ...part.shape]);
          after.set(name(part.name), value);
        }
      },
    };
  };
  return { y: callChild("layer", layer, x, { state }), after };
}

describe.each(["reference", "onnx:cpu", "tfjs:wasm"])("on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it.each(cases)("$name", async (one) => {
    const layer = built(one);
    const x = input("x", one.x.shape);
    const { y, after } = pass(layer, x, false);
    const feeds: Record<string, Float32Array> = { x: floats(one.x) };
    expect([...after.keys()].sort()).toEqual(Object.keys(one.states).sort());
    const weighted = [["y", y] as const, ...after].map(([name, value]) => {
      feeds[`seed ${name}`] = floats(one.seeds[name] as Numbers);
      return sum(mul(value, input(`seed ${name}`, value.shape)));
    });
    const wrt = [x, ...[...layer.variables().values()].map((v) => v.tensor)];
    const grads = grad(
      weighted.reduce((a, b) => add(a, b)),
      wrt,
    );
    const names = ["x", ...layer.variables().keys()];
    const outputs = Object.fromEntries(grads.map((g, i) => [`d ${names[i]}`, g]));
    const trained = await compile({ outputs: { y, ...Object.fromEntries(after), ...outputs } }, { backend });
    const found = await trained.read(feeds);
    expectClose("y beside gradients", found["y"], one.y.data);
    for (const [name, state] of Object.entries(one.states)) expectClose(name, found[name], state.data);
    expectClose("d x", found["d x"], one.gradX.data);
    for (const name of layer.variables().keys())
      expectClose(`d ${name}`, found[`d ${name}`], one.gradWeights[name]?.data ?? []);
    trained.dispose();
    const program = await compile({ outputs: { y: layer.forward(x) } }, { backend });
    const alone = await program.read({ x: feeds["x"] as Float32Array });
    expectClose("y", alone["y"], one.y.data);
    program.dispose();
  });

  it.each(
    cases
      .filter((one) => !bidirectional(one) && (one.x.shape[1] ?? 0) > 1)
      .flatMap((one) => {
        const t = one.x.shape[1] as number;
        const open = t > 16 ? [[17, 1, t - 18]] : [[1, t - 1]];
        return [Array.from({ length: t }, () => 1), ...open].map(
          (pieces) => [one.name, pieces.slice(0, 6), one] as const,
        );
      }),
  )("%s in pieces of %j is as in one go", async (_name, pieces, one) => {
    const layer = built(one);
    const [b = 0, , d = 0] = one.x.shape;
    let state: Record<string, Float32Array> = {};
    let at = 0;
    for (const length of pieces.filter((n) => n > 0)) {
      // One token has its own graph; any other number comes to one whose length is open.
      const { y, after } = pass(layer, input("x", [b, length === 1 ? 1 : sym("T"), d]), at > 0);
      const program = await compile({ outputs: { y, ...Object.fromEntries(after) } }, { backend });
      const { shape, data } = tokensOf(one.x, at, at + length);
      const x = { data: Float32Array.from(data), shape };
      const { y: rows, ...next } = (await program.read({ x, ...state })) as Record<string, Float32Array>;
      expectClose(`tokens from ${at}`, rows, tokensOf(one.y, at, at + length).data);
      state = next;
      at += length;
      program.dispose();
    }
    if (at === one.x.shape[1])
      for (const [name, last] of Object.entries(one.states)) expectClose(name, state[name], last.data);
  });
});

it.each(cases)("$name: parameters and state by closed form", (one) => {
  const layer = built(one);
  const { config } = layer as Module & { config: LayerConfig };
  const size = [...layer.variables().values()].reduce((total, variable) => total + variable.size, 0);
  expect(layerSpec(config).parameters(config)).toBe(size);
  const elements = layer
    .modules()
    .flatMap(({ module }) => ("stateParts" in module ? (module as RNNLayer).stateParts : []))
    .reduce((total, part) => total + part.shape.reduce((a, b) => a * b, 1), 0);
  expect(layerSpec(config).stateElements?.(config)).toBe(elements);
});

describe("SSMLayer", () => {
  const initial = async (options: Partial<ConstructorParameters<typeof SSMLayer>[0]> = {}) => {
    const layer = new SSMLayer({ dModel: 64, ...options }).adopt(3);
    const found = new Map<string, Float32Array>();
    for (const [name, variable] of layer.variables()) found.set(name, (await variable.read()) as Float32Array);
    return found;
  };

  it("begins with step sizes within their limits, spread over them by their logarithm", async () => {
    const steps = Float64Array.from((await initial()).get("dt_proj.bias") ?? [], (v) => Math.log1p(Math.exp(v)));
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(1e-3 * (1 - 1e-4));
    expect(Math.max(...steps)).toBeLessThanOrEqual(0.1 * (1 + 1e-4));
    const middle = steps.filter((step) => step < 1e-2).length / steps.length;
    expect(Math.abs(middle - 0.5)).toBeLessThan(0.15);
    const floored = (await initial({ dtMin: 1e-6, dtMax: 2e-6 })).get("dt_proj.bias") ?? [];
    for (const v of floored) expect(Math.log1p(Math.exp(v))).toBeCloseTo(1e-4, 8);
  });

  it("begins with the weights of its dt_init, rates 1 to N, and D of 1", async () => {
    const weights = (await initial()).get("dt_proj.weight") ?? Float32Array.of();
    expect(Math.max(...weights.map(Math.abs))).toBeLessThanOrEqual(0.5);
    expect(Math.max(...weights.map(Math.abs))).toBeGreaterThan(0.45);
    expect(new Set((await initial({ dtInit: "constant", dtScale: 3 })).get("dt_proj.weight"))).toEqual(new Set([1.5]));
    const rates = (await initial()).get("A_log") ?? Float32Array.of();
    expect([0, 127, 128, 15 * 128].map((i) => Math.exp(rates[i] ?? 0))).toEqual([
      1,
      1,
      expect.closeTo(2, 5),
      expect.closeTo(16, 4),
    ]);
    expect(new Set((await initial()).get("D"))).toEqual(new Set([1]));
  });

  it("does not overflow over long sequences with large steps, forwards or backwards", async () => {
    const backend = await openBackend("onnx:cpu", { threads: 1 });
    const layer = new SSMLayer({ dModel: 4, dState: 4 }).adopt(1);
    layer.dtProj.bias?.write(new Float32Array(8).fill(30));
    const x = input("x", [1, 300, 4]);
    const y = layer.forward(x);
    const loss = sum(mul(y, y));
    const [dx, dRates] = grad(loss, [x, layer.logRates.tensor]);
    const program = await compile({ outputs: { loss, dx: dx as Tensor, dRates: dRates as Tensor } }, { backend });
    const random = new Philox(5);
    const found = await program.read({ x: Float32Array.from({ length: 1200 }, () => 3 * random.normal()) });
    for (const values of Object.values(found)) for (const v of values) expect(Number.isFinite(v)).toBe(true);
    expect(found["loss"]?.[0]).toBeGreaterThan(0);
    await backend.close();
  });

  it("counts products, those of the scan among them, in chunks and for a single token", () => {
    const [d, e, n, rank] = [8, 16, 4, 1];
    const layer = new SSMLayer({ dModel: d, dState: n });
    const perToken = d * 2 * e + 4 * e + e * (rank + 2 * n) + rank * e + n * e + e * d;
    for (const [b, t] of [
      [1, 32],
      [2, 16],
      [3, 5],
      [1, 1],
    ] as const)
      expect(graphFlops(new Graph([layer.forward(input("x", [b, t, d]))]))).toBe(2 * b * t * perToken);
  });
});

describe("RNNLayer", () => {
  it("has no gradient where a unit of rnn_relu is exactly at zero, as PyTorch", async () => {
    const backend = await openBackend("reference");
    const layer = new RNNLayer({ cell: "rnn_relu", inputSize: 2, hiddenSize: 3 }).adopt(2);
    const x = input("x", [1, 1, 2]);
    const variables = [...layer.variables()];
    const grads = grad(sum(layer.forward(x)), [x, ...variables.map(([, v]) => v.tensor)]);
    const outputs = Object.fromEntries(grads.map((g, i) => [["x", ...variables.map(([name]) => name)][i], g]));
    const found = await (await compile({ outputs }, { backend })).read({ x: new Float32Array(2) });
    for (const [name, values] of Object.entries(found))
      expect(
        values.every((g) => g === 0),
        name,
      ).toBe(true);
  });

  it("drops values between layers, while training alone", async () => {
    const backend = await openBackend("reference");
    const layer = new RNNLayer({ inputSize: 2, hiddenSize: 3, numLayers: 3, dropout: 1, bias: false }).adopt(2);
    const x = input("x", [1, 4, 2]);
    const outputs = { train: layer.forward(x, { training: true }), use: layer.forward(x) };
    const program = await compile({ outputs }, { backend });
    const found = await program.read({ x: Float32Array.from({ length: 8 }, (_, i) => i / 4 - 1) });
    expect([...(found["train"] ?? [])]).toEqual(new Array<number>(12).fill(0));
    expect(Math.max(...Array.from(found["use"] ?? [], Math.abs))).toBeGreaterThan(1e-3);
  });

  it("is not decoded in both directions", () => {
    const layer = new RNNLayer({ inputSize: 2, hiddenSize: 3, bidirectional: true });
    expect(() => pass(layer, input("x", [1, 4, 2]), true)).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining("yet to come") }) as Error,
    );
  });
});
