// Exported models: names, the places of weights, what is refused, and ops whose standard form differs from ORT's own, run
// by ONNX Runtime from the bytes alone and compared with the reference.
import {
  add,
  conv2d,
  exp,
  Graph,
  gelu,
  input,
  largestError,
  layerNorm,
  matmul,
  mul,
  Philox,
  ReferenceBackend,
  random,
  rmsNorm,
  rope,
  scan,
  silu,
  sum,
  sym,
  type Tensor,
  Variable,
} from "@caramba/tensor";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { exportGraph, WeightsLayout } from "./export.ts";

const draw = (size: number, seed: number): Float32Array => {
  const from = new Philox(seed);
  return Float32Array.from({ length: size }, () => from.uniform() * 2 - 1);
};
const variable = (name: string, shape: readonly number[], seed: number): Variable =>
  new Variable(name, shape, {
    init: (s) =>
      draw(
        s.reduce((a, b) => a * b, 1),
        seed,
      ),
  });

/** Runs a model's bytes with its weights in memory. */
async function runModel(bytes: Uint8Array, weights: WeightsLayout, feeds: Record<string, OrtTensor>) {
  const data = new Uint8Array(weights.byteLength);
  for (const { variable: v, offset, byteLength } of weights.places) {
    const values = await v.read();
    data.set(new Uint8Array(values.buffer, values.byteOffset, byteLength), offset);
  }
  const session = await InferenceSession.create(bytes, {
    graphOptimizationLevel: "disabled",
    externalData: [{ path: weights.location, data }],
  });
  const results = await session.run(feeds);
  await session.release();
  return results;
}

test("leaves and outputs may be named like values in between", async () => {
  const names = ["t0", "c0", "b0_t0", "/t0", "//c1"] as const;
  const x = names.map((name) => input(name, [2]));
  const w = variable("t1", [2], 1);
  const y = x.reduce((total, leaf, i) => add(total, mul(exp(leaf), i + 2)), w.tensor);
  const weights = new WeightsLayout("w");
  const bytes = exportGraph({ t2: y, c1: exp(y) }, weights);
  const values = names.map((_, i) => draw(2, i + 5));
  const feeds = Object.fromEntries(
    names.map((name, i) => [name, new OrtTensor("float32", values[i] as Float32Array, [2])]),
  );
  const found = await runModel(bytes, weights, feeds);
  const given = (await w.read()) as Float32Array;
  const expected = Array.from(given, (v, j) =>
    values.reduce((total, data, i) => total + Math.exp(data[j] as number) * (i + 2), v),
  );
  expect(largestError(found["t2"]?.data as Float32Array, expected)).toBeLessThan(1e-6);
  expect(largestError(found["c1"]?.data as Float32Array, expected.map(Math.exp))).toBeLessThan(1e-5);
});

test("what ORT has kernels of its own for goes out in standard operators", async () => {
  const [b, t] = [sym("batch"), sym("T")];
  const x = input("x", [b, 2, t, 4]);
  const image = input("image", [b, 2, 5, 4]);
  const [cos, sin] = [input("cos", [t, 2]), input("sin", [t, 2])];
  const [g, s, bias] = [variable("g", [4], 2), variable("s", [4], 3), variable("bias", [4], 4)];
  const [m, kernel] = [variable("m", [2, 4, 4], 5), variable("kernel", [4, 1, 2, 3], 6)];
  const rows = scan({ carry: [sum(x, [0, 1, 2])], xs: [cos], shared: [g.tensor] }, ([h], [row], [weight]) => ({
    carry: [silu(mul(h as Tensor, weight as Tensor))],
    out: [mul(row as Tensor, 2)],
  }));
  const outputs = {
    rms: rmsNorm(x, g.tensor, 1e-5),
    layer: layerNorm(x, s.tensor, bias.tensor, 1e-5),
    turned: rope(x, cos, sin),
    gelu: gelu(x),
    silu: silu(x),
    product: matmul(x, m.tensor, { transB: true, alpha: 0.5 }),
    conv: conv2d(image, kernel.tensor, { stride: [2, 1], padding: [1, 0], groups: 2 }),
    carry: rows.carry[0] as Tensor,
    rows: rows.out[0] as Tensor,
  };
  const weights = new WeightsLayout("w");
  const bytes = exportGraph(outputs, weights, { about: "a test" });
  expect(Buffer.from(bytes).includes("com.microsoft")).toBe(false);
  expect(Buffer.from(bytes).includes("a test")).toBe(true);
  for (const length of [1, 3]) {
    const shapes = { x: [2, 2, length, 4], image: [2, 2, 5, 4], cos: [length, 2], sin: [length, 2] };
    const data = Object.fromEntries(
      Object.entries(shapes).map(([name, shape], i) => [
        name,
        draw(
          shape.reduce((p, n) => p * n, 1),
          20 + i,
        ),
      ]),
    );
    const feeds = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [
        name,
        new OrtTensor("float32", data[name] as Float32Array, shape),
      ]),
    );
    const found = await runModel(bytes, weights, feeds);
    const reference = new ReferenceBackend();
    const graph = new Graph(Object.values(outputs));
    const executable = await reference.compile(graph);
    const results = await executable.run(
      await Promise.all(
        graph.inputs.map(async (leaf) => {
          if (leaf.leaf?.kind === "variable") return (leaf.leaf.variable as Variable).bufferOn(reference);
          const { name } = leaf.leaf as { name: keyof typeof shapes };
          return reference.upload(data[name] as Float32Array, shapes[name], "float32");
        }),
      ),
    );
    for (const [i, name] of Object.keys(outputs).entries()) {
      const buffer = results[i] as (typeof results)[0];
      expect(found[name]?.dims, name).toEqual([...buffer.shape]);
      const error = largestError(found[name]?.data as Float32Array, (await reference.read(buffer)) as Float32Array);
      expect(error, name).toBeLessThan(1e-5);
    }
  }
});

describe("the weights file", () => {
  test("has each variable once, small ones by 64 bytes, large ones at pages, beyond 4 GiB too", () => {
    const weights = new WeightsLayout("w");
    const [a, b, c] = [variable("a", [3], 1), variable("b", [1024], 2), new Variable("c", [5], { dtype: "uint8" })];
    const [big, last] = [new Variable("big", [2 ** 30]), new Variable("last", [1024])];
    const places = [a, b, a, c, big, last].map((v) => weights.placeOf(v));
    expect(places.map(({ offset, byteLength }) => [offset, byteLength])).toEqual([
      [0, 12],
      [4096, 4096],
      [0, 12],
      [8192, 5],
      [12288, 2 ** 32],
      [2 ** 32 + 12288, 4096],
    ]);
    expect(weights.byteLength).toBe(2 ** 32 + 12288 + 4096);
    expect(weights.places.map((place) => place.variable.name)).toEqual(["a", "b", "c", "big", "last"]);
    const bytes = Buffer.from(exportGraph({ y: mul(last.tensor, 2) }, weights));
    expect(bytes.includes(`${2 ** 32 + 12288}`)).toBe(true);
    expect(bytes.length).toBeLessThan(4096);
  });

  test("serves several models", async () => {
    const w = variable("w", [3], 7);
    const weights = new WeightsLayout("w");
    const models = [mul(w.tensor, 2), add(w.tensor, 1)].map((y) => exportGraph({ y }, weights));
    expect(weights.places).toHaveLength(1);
    const values = [...((await w.read()) as Float32Array)];
    const [twice, more] = await Promise.all(models.map((bytes) => runModel(bytes, weights, {})));
    expect([...((twice?.["y"]?.data as Float32Array) ?? [])]).toEqual(values.map((v) => v * 2));
    expect(
      largestError(
        (more?.["y"]?.data as Float32Array) ?? [],
        values.map((v) => v + 1),
      ),
    ).toBeLessThan(1e-6);
  });
});

test("random numbers and names that come twice are refused", () => {
  const weights = new WeightsLayout("w");
  const x = input("x", [2]);
  expect(() => exportGraph({ y: mul(x, random("noise", [2])) }, weights)).toThrow(/draws random numbers \(noise\)/);
  expect(() => exportGraph({ y: add(x, new Variable("x", [2]).tensor) }, weights)).toThrow(/two values are named x/);
  expect(() => exportGraph({ x: exp(x) }, weights)).toThrow(/two values are named x/);
  expect(weights.byteLength).toBe(0);
});
