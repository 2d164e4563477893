// Attention in every mode and with every option against PyTorch and Transformers' own modules (fixtures/layers/generate.py:
// F.scaled_dot_product_attention; generate_attention.py): outputs, gradients of the input and of every weight, on the reference backend
// and on ONNX Runtime. Causal layers give the same over a cache: a prompt, then several tokens onto what is cached (whose
// mask must count the past), then single ones. In blocks of queries all give the same.
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
import {
  expectClose,
  floats,
  type LayerCase,
  loadWeights,
  type Numbers,
  readFixture,
  tokensOf,
} from "../test-support/cases.ts";
import { feedPieces } from "../test-support/feed-attention.ts";
import { AttentionLayer } from "./attention.ts";
import type { ForwardContext } from "./module.ts";
import { inverseFrequencies } from "./rope.ts";

interface Fixture {
  readonly cases: LayerCase<AttentionLayerInput>[];
  readonly frequencies: {
    readonly width: number;
    readonly base: number;
    readonly scaling: Record<string, number> & { rope_type: "llama3" | "linear" };
    readonly frequencies: Numbers;
  }[];
  readonly dropout: Record<"q" | "k" | "v" | "uniform" | "seed" | "y", Numbers> & { p: number; grads: Numbers[] };
}

const modes = readFixture<Pick<Fixture, "cases">>("attention.json");
const fixture = readFixture<Fixture>("attention-options.json");
const cases = [...modes.cases, ...fixture.cases];

/** Outputs and gradients are those of the case. */
async function expectCase(
  backend: Backend,
  layer: AttentionLayer,
  { x, y, seed, gradX, gradWeights }: LayerCase<AttentionLayerInput>,
  context: ForwardContext,
): Promise<void> {
  const variables = [...layer.variables()].filter(([, variable]) => variable.trainable);
  const leaf = input("x", x.shape);
  const found = layer.forward(leaf, context);
  const grads = grad(sum(mul(found, input("seed", seed.shape))), [leaf, ...variables.map(([, v]) => v.tensor)]);
  const names = ["x", ...variables.map(([name]) => name)];
  const outputs = Object.fromEntries(grads.map((g, i) => [`d ${names[i]}`, g]));
  const program = await compile({ outputs: { y: found, ...outputs } }, { backend });
  const values = await program.read({ x: floats(x), seed: floats(seed) });
  program.dispose();
  expectClose("y", values["y"], y.data);
  expectClose("d x", values["d x"], gradX.data);
  for (const [name] of variables) expectClose(`d ${name}`, values[`d ${name}`], gradWeights[name]?.data ?? []);
}

describe.each(["reference", "onnx:cpu"])("on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it.each(cases)("$name", async (given) => {
    const { x, y } = given;
    const layer = new AttentionLayer(given.config).adopt();
    loadWeights(layer, given.weights);
    await expectCase(backend, layer, given, { training: true });
    if (!layer.config.isCausal) return;
    const length = x.shape[1] as number;
    const cuts = [2, 5, 6, 10, 11].filter((cut) => cut <= length);
    const pieces = await feedPieces(backend, layer, x, cuts, { open: true });
    for (const [i, to] of cuts.entries()) {
      const from = cuts[i - 1] ?? 0;
      expectClose(`tokens ${from} .. ${to} over a cache`, pieces[i], tokensOf(y, from, to).data);
    }
  });
});

const reference = new ReferenceBackend();

it.each(cases)("$name: in blocks of queries, gradients too", async (given) => {
  const layer = new AttentionLayer(given.config).adopt();
  loadWeights(layer, given.weights);
  for (const qChunk of [1, 4]) await expectCase(reference, layer, given, { qChunk });
});

it.each(cases)("$name: the config's count is that of the trainable weights", ({ config }) => {
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
