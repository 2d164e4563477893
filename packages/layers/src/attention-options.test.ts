// Every option of attention, and many together, against PyTorch and Transformers' own modules
// (fixtures/layers/generate_attention.py): outputs, gradients of the input and of every weight, on the reference backend
// and on ONNX Runtime. Causal layers give the same over a cache: a prompt, then several tokens onto what is cached (whose
// mask must count the past), then single ones. In blocks of queries all give the same.
import { readFileSync } from "node:fs";
import { type AttentionLayerInput, attentionLayerConfig, layerSpec } from "@caramba/config";
import {
  attention,
  type Backend,
  compile,
  grad,
  input,
  mul,
  openBackend,
  ReferenceBackend,
  sum,
  type Tensor,
} from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AttentionLayer } from "./attention.ts";
import type { ForwardContext } from "./module.ts";
import { inverseFrequencies } from "./rope.ts";

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

interface Fixture {
  readonly cases: Case[];
  readonly frequencies: {
    readonly width: number;
    readonly base: number;
    readonly scaling: Record<string, number> & { rope_type: "llama3" | "linear" };
    readonly frequencies: Numbers;
  }[];
  readonly dropout: Record<"q" | "k" | "v" | "uniform" | "seed" | "y", Numbers> & { p: number; grads: Numbers[] };
}

const file = new URL("../../../fixtures/layers/attention-options.json", import.meta.url);
const fixture = JSON.parse(readFileSync(file, "utf8")) as Fixture;
const floats = (x: Numbers): Float32Array => Float32Array.from(x.data);

/** Differences are measured against the largest expected number, if that is above 1. */
function expectClose(
  what: string,
  found: ArrayLike<number> | undefined,
  expected: ArrayLike<number>,
  tolerance: number,
) {
  expect(found?.length, what).toBe(expected.length);
  const scale = Math.max(1, ...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [found?.[i] as number, expected[i] as number];
    if (!(Math.abs(a - b) <= tolerance * scale)) expect.fail(`${what} at ${i}: found ${a}, expected ${b}`);
  }
}

function loaded({ config, weights }: Case): AttentionLayer {
  const layer = new AttentionLayer(config).adopt();
  const variables = new Map([...layer.variables()].filter(([, variable]) => variable.trainable));
  expect([...variables.keys()].sort()).toEqual(Object.keys(weights).sort());
  for (const [name, variable] of variables) {
    expect(variable.shape, name).toEqual(weights[name]?.shape);
    variable.write(floats(weights[name] as Numbers));
  }
  return layer;
}

async function output(backend: Backend, layer: AttentionLayer, x: Numbers, context: ForwardContext) {
  const program = await compile({ outputs: { y: layer.forward(input("x", x.shape), context) } }, { backend });
  const { y } = await program.read({ x: floats(x) });
  program.dispose();
  return y as Float32Array;
}

/** Rows from .. to of the second axis of [B, T, D]. */
function rows({ shape, data }: Numbers, from: number, to: number): Numbers {
  const [b, t, d] = shape as [number, number, number];
  const part = Array.from({ length: b }, (_, i) => data.slice((i * t + from) * d, (i * t + to) * d)).flat();
  return { shape: [b, to - from, d], data: part };
}

/** Feeds pieces one after another with a cache that grows. */
async function cached(backend: Backend, layer: AttentionLayer, x: Numbers, cuts: readonly number[]) {
  const batch = x.shape[0] as number;
  const found: Float32Array[] = [];
  const past = layer.cacheParts.map((): number[] => []);
  let from = 0;
  for (const to of cuts) {
    const piece = rows(x, from, to);
    const outputs: Record<string, Tensor> = {};
    const stored = layer.cacheParts.map(({ name, heads, width }) =>
      input(`past ${name}`, [from, batch * heads, width]),
    );
    const [k, v] = stored as [Tensor, Tensor];
    const y = layer.forward(input("x", piece.shape), {
      positions: input("positions", [to - from], "int32"),
      cache: () => ({
        past: from === 0 ? null : { k, v },
        append: (newK, newV) => Object.assign(outputs, { k: newK, v: newV }),
      }),
    });
    const program = await compile({ outputs: { y, ...outputs } }, { backend });
    const given =
      from === 0 ? {} : { "past k": Float32Array.from(past[0] ?? []), "past v": Float32Array.from(past[1] ?? []) };
    const positions = layer.config.ropeEnabled
      ? { positions: Int32Array.from({ length: to - from }, (_, i) => from + i) }
      : {};
    const result = await program.read({ x: floats(piece), ...positions, ...given });
    program.dispose();
    found.push(result["y"] as Float32Array);
    past[0]?.push(...(result["k"] as Float32Array));
    past[1]?.push(...(result["v"] as Float32Array));
    from = to;
  }
  return found;
}

describe.each(["reference", "onnx:cpu"])("on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it.each(fixture.cases)("$name", async (given) => {
    const { x, y, seed, gradX, gradWeights } = given;
    const layer = loaded(given);
    const variables = new Map([...layer.variables()].filter(([, variable]) => variable.trainable));
    const leaf = input("x", x.shape);
    const found = layer.forward(leaf, { training: true });
    const loss = sum(mul(found, input("seed", seed.shape)));
    const grads = grad(loss, [leaf, ...[...variables.values()].map((v) => v.tensor)]);
    const names = ["x", ...variables.keys()];
    const outputs = Object.fromEntries(grads.map((g, i) => [`d ${names[i]}`, g]));
    const program = await compile({ outputs: { y: found, ...outputs } }, { backend });
    const values = await program.read({ x: floats(x), seed: floats(seed) });
    program.dispose();
    expectClose("y", values["y"], y.data, 1e-5);
    expectClose("d x", values["d x"], gradX.data, 1e-5);
    for (const name of variables.keys())
      expectClose(`d ${name}`, values[`d ${name}`], gradWeights[name]?.data ?? [], 1e-5);
    if (!layer.config.isCausal) return;
    const length = x.shape[1] as number;
    const cuts = [2, 5, 6, 10, 11].filter((cut) => cut <= length);
    const pieces = await cached(backend, layer, x, cuts);
    for (const [i, to] of cuts.entries()) {
      const from = cuts[i - 1] ?? 0;
      expectClose(`rows ${from} .. ${to} over a cache`, pieces[i], rows(y, from, to).data, 1e-5);
    }
  });
});

const reference = new ReferenceBackend();

it.each(fixture.cases)("$name: in blocks of queries", async (given) => {
  const layer = loaded(given);
  const { x, y } = given;
  for (const qChunk of [1, 4]) expectClose(`${qChunk}`, await output(reference, layer, x, { qChunk }), y.data, 1e-5);
});

it.each(fixture.cases)("$name: the config's count is that of the trainable weights", ({ config }) => {
  const full = attentionLayerConfig(config);
  const variables = [...new AttentionLayer(config).variables().values()].filter((variable) => variable.trainable);
  expect(layerSpec(full).parameters(full)).toBe(variables.reduce((total, { size }) => total + size, 0));
});

it.each(fixture.frequencies)("rotary frequencies of Transformers: $scaling.rope_type, $width wide", (row) => {
  const { scaling: s, width, base, frequencies } = row;
  const scaling =
    s.rope_type === "linear"
      ? { ropeType: "linear" as const, factor: s["factor"] as number }
      : {
          ropeType: "llama3" as const,
          factor: s["factor"] as number,
          lowFreqFactor: s["low_freq_factor"] as number,
          highFreqFactor: s["high_freq_factor"] as number,
          originalMaxPositionEmbeddings: s["original_max_position_embeddings"] as number,
        };
  inverseFrequencies(width, base, scaling).forEach((found, i) => {
    const expected = frequencies.data[i] as number;
    expect(Math.abs(found / expected - 1), `pair ${i}: ${found}, ${expected}`).toBeLessThan(1e-5);
  });
});

it("dropout of weights is PyTorch's, for given uniform numbers", async () => {
  const { p, q, k, v, uniform, seed, y, grads } = fixture.dropout;
  const leaves = { q: input("q", q.shape), k: input("k", k.shape), v: input("v", v.shape) };
  const dropout = { p, uniform: input("uniform", uniform.shape) };
  const found = attention(leaves.q, leaves.k, leaves.v, { dropout });
  const [dq, dk, dv] = grad(sum(mul(found, input("seed", seed.shape))), Object.values(leaves)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const program = await compile({ outputs: { y: found, dq, dk, dv } }, { backend: reference });
  const feeds = Object.fromEntries(Object.entries({ q, k, v, uniform, seed }).map(([n, z]) => [n, floats(z)]));
  const values = await program.read(feeds);
  expectClose("y", values["y"], y.data, 1e-6);
  for (const [i, name] of ["dq", "dk", "dv"].entries()) expectClose(name, values[name], grads[i]?.data ?? [], 1e-6);
});
