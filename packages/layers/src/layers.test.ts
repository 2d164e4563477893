// The layers of a transformer but attention against their formulas as loops in float64.
import { compile, input, Philox, ReferenceBackend, ShapeError, withScope } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { DenseLayer } from "./dense.ts";
import { DropoutLayer } from "./dropout.ts";
import { GLULayer } from "./glu.ts";
import { LinearLayer } from "./linear.ts";
import { callChild, type ForwardContext, type Module } from "./module.ts";
import { LayerNormLayer, RMSNormLayer } from "./norm.ts";
import { buildLayer } from "./registry.ts";
import { inverseFrequencies, RoPE } from "./rope.ts";
import { SwiGLULayer } from "./swiglu.ts";

const backend = new ReferenceBackend();
const random = new Philox(11);
const normals = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal());

/** Gives every variable random values and returns them by path. */
function randomise(module: Module): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>();
  for (const [path, variable] of module.variables()) {
    const data = normals(variable.size);
    values.set(path, data);
    variable.write(data.slice());
  }
  return values;
}

async function run(
  module: Module,
  x: Float32Array,
  shape: number[],
  context: ForwardContext = {},
  options: { seed?: number; step?: number } = {},
): Promise<Float32Array> {
  const program = await compile({ outputs: { y: module.forward(input("x", shape), context) } }, { backend });
  return (await program.read({ x }, options))["y"] as Float32Array;
}

function expectClose(found: Float32Array, expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  found.forEach((v, i) => {
    const want = expected[i] as number;
    if (!(Math.abs(v - want) <= 1e-6 * (1 + Math.abs(want)))) expect.fail(`at ${i}: found ${v}, expected ${want}`);
  });
}

const rowsOf = (x: Float32Array, width: number): number[][] =>
  Array.from({ length: x.length / width }, (_, r) => Array.from(x.subarray(r * width, (r + 1) * width)));

/** y_j = sum_i x_i W_ij + b_j. */
function affine(row: readonly number[], w: Float32Array, b?: Float32Array): number[] {
  const out = w.length / row.length;
  return Array.from({ length: out }, (_, j) =>
    row.reduce((s, v, i) => s + v * (w[i * out + j] as number), b ? (b[j] as number) : 0),
  );
}

const mean = (row: readonly number[]): number => row.reduce((a, b) => a + b, 0) / row.length;

describe("LinearLayer", () => {
  it.each([true, false])("is x W + b, bias %s", async (bias) => {
    const layer = new LinearLayer({ dIn: 3, dOut: 5, bias });
    const values = randomise(layer);
    expect([...values.keys()]).toEqual(bias ? ["weight", "bias"] : ["weight"]);
    const x = normals(2 * 4 * 3);
    const expected = rowsOf(x, 3).flatMap((row) =>
      affine(row, values.get("weight") as Float32Array, values.get("bias")),
    );
    expectClose(await run(layer, x, [2, 4, 3]), expected);
  });

  it("starts with variance 1 / (3 dIn), zero bias, and other values for other seeds", async () => {
    const layer = new LinearLayer({ dIn: 100, dOut: 200 }).adopt(1);
    const w = Array.from(await layer.weight.read());
    expect(mean(w.map((v) => v * v)) * 300).toBeCloseTo(1, 1);
    expect(Math.abs(mean(w))).toBeLessThan(0.002);
    expect(await layer.bias?.read()).toEqual(new Float32Array(200));
    expect(await new LinearLayer({ dIn: 100, dOut: 200 }).adopt(1).weight.read()).toEqual(Float32Array.from(w));
    expect(await new LinearLayer({ dIn: 100, dOut: 200 }).adopt(2).weight.read()).not.toEqual(Float32Array.from(w));
  });
});

describe("norms", () => {
  it.each([true, false])("RMSNorm is x / sqrt(mean x^2 + eps) w, affine %s", async (elementwiseAffine) => {
    const layer = new RMSNormLayer({ dModel: 6, eps: 0.1, elementwiseAffine });
    const w = randomise(layer).get("weight");
    const x = normals(4 * 6);
    const expected = rowsOf(x, 6).flatMap((row) => {
      const rms = Math.sqrt(mean(row.map((v) => v * v)) + 0.1);
      return row.map((v, i) => (v / rms) * (w?.[i] ?? 1));
    });
    expectClose(await run(layer, x, [2, 2, 6]), expected);
  });

  it("LayerNorm is (x - mean) / sqrt(var + eps) w + b", async () => {
    const layer = new LayerNormLayer({ dModel: 6, eps: 0.1 });
    const values = randomise(layer);
    const x = normals(4 * 6);
    const expected = rowsOf(x, 6).flatMap((row) => {
      const m = mean(row);
      const deviation = Math.sqrt(mean(row.map((v) => (v - m) ** 2)) + 0.1);
      return row.map(
        (v, i) => ((v - m) / deviation) * (values.get("weight")?.[i] as number) + (values.get("bias")?.[i] as number),
      );
    });
    expectClose(await run(layer, x, [2, 2, 6]), expected);
  });

  it("start as plain normalisation", async () => {
    expect(await new RMSNormLayer({ dModel: 3 }).weight?.read()).toEqual(Float32Array.of(1, 1, 1));
    expect(await new LayerNormLayer({ dModel: 3 }).bias.read()).toEqual(Float32Array.of(0, 0, 0));
  });
});

describe("SwiGLULayer", () => {
  it.each([true, false])("is down(silu(gate x) * up x), bias %s", async (bias) => {
    const layer = new SwiGLULayer({ dModel: 4, dFf: 6, bias });
    const values = randomise(layer);
    const x = normals(3 * 4);
    const part = (name: string, row: readonly number[]) =>
      affine(row, values.get(`${name}.weight`) as Float32Array, values.get(`${name}.bias`));
    const expected = rowsOf(x, 4).flatMap((row) => {
      const up = part("up_proj", row);
      const hidden = part("gate_proj", row).map((v, i) => (v / (1 + Math.exp(-v))) * (up[i] as number));
      return part("down_proj", hidden);
    });
    expectClose(await run(layer, x, [1, 3, 4]), expected);
  });
});

describe("DropoutLayer", () => {
  const n = 20_000;
  const ones = new Float32Array(n).fill(1);
  const drop = (p: number, step = 0, seed = 0) =>
    run(new DropoutLayer({ p }), ones, [n], { training: true }, { seed, step });

  it("zeroes a share p and scales the rest by 1 / (1 - p)", async () => {
    const y = await drop(0.3);
    const zeros = y.filter((v) => v === 0).length;
    // Five standard deviations of a binomial count.
    expect(Math.abs(zeros - 0.3 * n)).toBeLessThan(5 * Math.sqrt(n * 0.3 * 0.7));
    for (const v of y) if (v !== 0) expect(v).toBeCloseTo(1 / 0.7, 6);
  });

  it("depends on seed, step and path, and on nothing else", async () => {
    expect(await drop(0.5, 3, 1)).toEqual(await drop(0.5, 3, 1));
    expect(await drop(0.5, 4, 1)).not.toEqual(await drop(0.5, 3, 1));
    expect(await drop(0.5, 3, 2)).not.toEqual(await drop(0.5, 3, 1));
    const layer = new DropoutLayer({ p: 0.5 });
    const x = input("x", [n]);
    const at = (path: string) => withScope(path, () => layer.forward(x, { training: true }));
    const program = await compile({ outputs: { a: at("a"), b: at("b") } }, { backend });
    const { a, b } = await program.read({ x: ones });
    expect(a).not.toEqual(b);
  });

  it("is the identity when not training, and at p = 0; p = 1 drops everything", async () => {
    expect(await run(new DropoutLayer({ p: 0.5 }), ones, [n])).toEqual(ones);
    expect(await drop(0)).toEqual(ones);
    expect((await drop(1)).every((v) => v === 0)).toBe(true);
  });
});

describe("rotary positions", () => {
  it("turn the pair (j, j + R/2) by position * base^(-2j/R)", async () => {
    const x = normals(2 * 3 * 6);
    const positions = Int32Array.of(0, 5, 11);
    const y = new RoPE({ width: 6, base: 50 }).rotate(input("x", [2, 3, 6]), input("p", [3], "int32"));
    const program = await compile({ outputs: { y } }, { backend });
    const found = (await program.read({ x, p: positions }))["y"] as Float32Array;
    const expected = rowsOf(x, 6).flatMap((row, r) => {
      const out = [...row];
      for (let j = 0; j < 3; j++) {
        const angle = (positions[r % 3] as number) * 50 ** ((-2 * j) / 6);
        const [a, b] = [row[j] as number, row[j + 3] as number];
        out[j] = a * Math.cos(angle) - b * Math.sin(angle);
        out[j + 3] = a * Math.sin(angle) + b * Math.cos(angle);
      }
      return out;
    });
    found.forEach((v, i) => {
      expect(v).toBeCloseTo(expected[i] as number, 5);
    });
  });

  it("are stretched for Llama 3 as in Hugging Face", () => {
    const [factor, low, high, context, base, width] = [32, 1, 4, 8192, 500000, 64];
    const found = inverseFrequencies(width, base, {
      ropeType: "llama3",
      factor,
      lowFreqFactor: low,
      highFreqFactor: high,
      originalMaxPositionEmbeddings: context,
    });
    // _compute_llama3_parameters of Transformers, in wavelengths.
    const kinds = new Set<string>();
    found.forEach((frequency, j) => {
      const plain = 1 / base ** ((2 * j) / width);
      const wavelength = (2 * Math.PI) / plain;
      let expected = plain;
      if (wavelength > context / low) expected = plain / factor;
      else if (wavelength >= context / high) {
        const smooth = (context / wavelength - low) / (high - low);
        expected = ((1 - smooth) * plain) / factor + smooth * plain;
      }
      kinds.add(expected === plain ? "kept" : expected === plain / factor ? "stretched" : "between");
      expect(Math.abs(frequency / expected - 1)).toBeLessThan(1e-6);
    });
    expect([...kinds].sort()).toEqual(["between", "kept", "stretched"]);
    expect(inverseFrequencies(4, 100)).toEqual(Float32Array.of(1, 0.1));
  });
});

describe("modules", () => {
  it("name the layer in errors of shape", () => {
    const wrong = (path: string, module: Module, shape: number[]) => () =>
      withScope("topology", () => callChild(path, module, input("x", shape), {}));
    expect(wrong("layers.3", new LinearLayer({ dIn: 4, dOut: 2 }), [1, 2, 5])).toThrow(ShapeError);
    expect(wrong("layers.3", new LinearLayer({ dIn: 4, dOut: 2 }), [1, 2, 5])).toThrow(/topology\.layers\.3/);
    expect(wrong("ffn", new SwiGLULayer({ dModel: 4, dFf: 8 }), [1, 2, 5])).toThrow(/topology\.ffn\.gate_proj/);
    expect(wrong("norm", new RMSNormLayer({ dModel: 4 }), [1, 2, 5])).toThrow(/topology\.norm/);
    expect(wrong("norm", new LayerNormLayer({ dModel: 4 }), [1, 2, 5])).toThrow(/topology\.norm/);
  });

  it("know their variables and submodules by path", () => {
    const layer = new SwiGLULayer({ dModel: 4, dFf: 8 }).adopt(3);
    expect([...layer.variables()].map(([path, v]) => [path, v.name, v.seed])).toEqual(
      ["gate_proj", "up_proj", "down_proj"].flatMap((p) =>
        ["weight", "bias"].map((w) => [`${p}.${w}`, `${p}.${w}`, 3]),
      ),
    );
    expect(layer.modules().map(({ path, module }) => [path, module.type])).toEqual([
      ["", "SwiGLULayer"],
      ["gate_proj", "LinearLayer"],
      ["up_proj", "LinearLayer"],
      ["down_proj", "LinearLayer"],
    ]);
  });

  it("report every output with the input that led to it", () => {
    const seen: string[] = [];
    const layer = new SwiGLULayer({ dModel: 4, dFf: 8 });
    callChild("ffn", layer, input("x", [1, 2, 4]), {
      onOutput: (path, module, y, x) =>
        seen.push(`${path} ${module.type} ${x.shape.join("x")} -> ${y.shape.join("x")}`),
    });
    expect(seen).toEqual([
      "ffn.gate_proj LinearLayer 1x2x4 -> 1x2x8",
      "ffn.up_proj LinearLayer 1x2x4 -> 1x2x8",
      "ffn.down_proj LinearLayer 1x2x8 -> 1x2x4",
      "ffn SwiGLULayer 1x2x4 -> 1x2x4",
    ]);
  });

  it("are built from configs by type", () => {
    expect(buildLayer({ type: "LinearLayer", dIn: 2, dOut: 3, bias: false })).toBeInstanceOf(LinearLayer);
    expect(buildLayer({ type: "DropoutLayer", p: 0.5 })).toBeInstanceOf(DropoutLayer);
    expect(buildLayer({ type: "RMSNormLayer", dModel: 2, eps: 1, elementwiseAffine: true })).toBeInstanceOf(
      RMSNormLayer,
    );
    expect(buildLayer({ type: "LayerNormLayer", dModel: 2, eps: 1 })).toBeInstanceOf(LayerNormLayer);
    expect(buildLayer({ type: "SwiGLULayer", dModel: 2, dFf: 3, bias: true })).toBeInstanceOf(SwiGLULayer);
  });
});

describe("GLULayer and DenseLayer", () => {
  it("GLU with silu is SwiGLU", async () => {
    const [glu, swiglu] = [new GLULayer({ dModel: 4, dFf: 6 }), new SwiGLULayer({ dModel: 4, dFf: 6 })];
    const values = randomise(glu);
    expect([...values.keys()]).toEqual([...swiglu.variables().keys()]);
    for (const [path, variable] of swiglu.variables()) variable.write((values.get(path) as Float32Array).slice());
    const x = normals(3 * 4);
    expect(await run(glu, x, [1, 3, 4])).toEqual(await run(swiglu, x, [1, 3, 4]));
  });

  it("Dense drops what comes out, while training", async () => {
    const layer = new DenseLayer({ dIn: 4, dOut: 50, activation: "sigmoid", dropout: 0.5 });
    randomise(layer);
    const x = normals(20 * 4);
    const [kept, dropped] = [await run(layer, x, [20, 4]), await run(layer, x, [20, 4], { training: true })];
    const zeros = dropped.filter((v) => v === 0).length;
    expect(Math.abs(zeros - 500)).toBeLessThan(5 * Math.sqrt(250));
    dropped.forEach((v, i) => {
      if (v !== 0) expect(v).toBeCloseTo(2 * (kept[i] as number), 5);
    });
  });
});
