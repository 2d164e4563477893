// Options of attention, many at once and drawn at random, against loops in float64: the whole sequence, in blocks of
// queries, with a window of the context, and over a cache that is not empty, one token and several at a time.
import { type AttentionLayerInput, attentionLayerConfig } from "@caramba/config";
import { type Backend, openBackend, Philox } from "@caramba/tensor";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectClose, type Numbers, tokensOf } from "../test-support/cases.ts";
import { feedPieces, feedWhole } from "../test-support/feed-attention.ts";
import { naiveAttention } from "../test-support/naive-attention.ts";
import { AttentionLayer } from "./attention.ts";

const scalings: AttentionLayerInput["ropeScaling"][] = [
  null,
  { ropeType: "linear", factor: 2.5 },
  { ropeType: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 16 },
];

const flag = fc.boolean();
const drawn = fc.record({
  nKvHeads: fc.constantFrom(1, 2),
  groups: fc.constantFrom(1, 2, 3),
  dModel: fc.constantFrom(12, 24),
  dv: fc.constantFrom(4, 6),
  ds: fc.constantFrom(2, 4),
  dg: fc.constantFrom(4, 6),
  decoupled: fc.constantFrom(true, true, false),
  gate: fc.constantFrom("none", "static", "dynamic"),
  rope: fc.constantFrom("none", "whole", "part"),
  ropeSemantic: flag,
  scaling: fc.constantFrom(...scalings),
  tieQk: flag,
  nullAttn: flag,
  learnedTemp: flag,
  qkNorm: flag,
  bias: flag,
  outBias: fc.constantFrom(null, true, false),
  isCausal: fc.constantFrom(true, true, true, false),
  localWindow: fc.option(fc.integer({ min: 1, max: 6 })),
  qChunk: fc.option(fc.integer({ min: 1, max: 5 })),
  /** Lengths of the pieces: a prompt, one token, three, and what comes then. */
  prompt: fc.integer({ min: 1, max: 4 }),
  rest: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(1_000_000),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;

function configOf(c: Drawn): AttentionLayerInput {
  const nHeads = c.nKvHeads * c.groups;
  const shared = {
    ...{ dModel: c.dModel, nHeads, nKvHeads: c.nKvHeads, attnDim: c.dv * nHeads, ropeBase: 50 },
    ...{ nullAttn: c.nullAttn, learnedTemp: c.learnedTemp, qkNorm: c.qkNorm, bias: c.bias, outBias: c.outBias },
    ...{ isCausal: c.isCausal, localWindow: c.localWindow, qChunk: c.qChunk, ropeEnabled: c.rope !== "none" },
    ...(c.rope === "part" ? { ropeDim: 2 } : {}),
    ...(c.rope === "none" ? {} : { ropeScaling: c.scaling }),
  };
  if (!c.decoupled) return { ...shared, mode: "gqa" };
  return {
    ...shared,
    ...{ mode: "decoupled", semDim: c.ds * nHeads, geoDim: c.dg * nHeads },
    ...{ decoupledGate: c.gate !== "none", decoupledGateDynamic: c.gate === "dynamic" },
    // A key-value head that several queries share has no query matrix of its own.
    tieQk: c.tieQk && c.groups === 1,
    ropeSemantic: c.ropeSemantic && c.rope !== "none",
  };
}

/** A layer whose every weight matters, and what it holds. */
function randomLayer(config: AttentionLayerInput, random: Philox) {
  const layer = new AttentionLayer(config).adopt();
  const weights = new Map<string, Float32Array>();
  for (const [name, variable] of layer.variables()) {
    if (!variable.trainable) continue;
    const values = Float32Array.from(
      { length: variable.size },
      () => random.normal() / 2 + (/norm/.test(name) ? 1 : 0),
    );
    weights.set(name, values);
    variable.write(values.slice());
  }
  return { layer, weights };
}

async function check(backend: Backend, c: Drawn): Promise<void> {
  const random = new Philox(c.seed, 1);
  const { layer, weights } = randomLayer(configOf(c), random);
  const [batch, length] = [2, c.prompt + 1 + 3 + c.rest];
  const x: Numbers = {
    shape: [batch, length, c.dModel],
    data: Array.from({ length: batch * length * c.dModel }, () => Math.fround(random.normal())),
  };
  const naive = (localWindow: number | null): Numbers => {
    const rows = Array.from({ length: batch * length }, (_, i) => x.data.slice(i * c.dModel, (i + 1) * c.dModel));
    const sequences = [rows.slice(0, length), rows.slice(length)];
    const found = sequences.map((one) => naiveAttention({ ...layer.config, localWindow }, weights, one));
    return { shape: x.shape, data: found.flat(2) };
  };
  const expected = naive(c.localWindow);
  expectClose("whole", await feedWhole(backend, layer, x), expected.data);
  for (const qChunk of [null, 2])
    expectClose(`blocks of ${qChunk}`, await feedWhole(backend, layer, x, { qChunk }), expected.data);
  const window = { localWindow: c.localWindow === null ? 2 : null };
  const other = naive(window.localWindow);
  expectClose("window of the context", await feedWhole(backend, layer, x, window), other.data);
  if (!c.isCausal) return;
  const cuts = [c.prompt, c.prompt + 1, c.prompt + 4, length];
  for (const [context, want] of [
    [{ open: true }, expected],
    [window, other],
  ] as const) {
    const pieces = await feedPieces(backend, layer, x, cuts, context);
    cuts.forEach((to, i) => {
      const from = cuts[i - 1] ?? 0;
      expectClose(`tokens ${from} .. ${to} over a cache`, pieces[i], tokensOf(want, from, to).data);
    });
  }
}

describe.each([
  ["reference", 80],
  ["onnx:cpu", 12],
  ["tfjs:wasm", 6],
])("on %s", (device, numRuns) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it(`${numRuns} combinations of options are as loops say`, async () => {
    await fc.assert(
      fc.asyncProperty(drawn, (c) => check(backend, c)),
      { numRuns, seed: 20 },
    );
  });

  it("all options that go together", async () => {
    const all: Drawn = {
      ...{ nKvHeads: 2, groups: 2, dModel: 24, dv: 6, ds: 4, dg: 6, decoupled: true, gate: "dynamic", rope: "part" },
      ...{ ropeSemantic: true, scaling: scalings[2] ?? null, tieQk: false, nullAttn: true, learnedTemp: true },
      ...{
        qkNorm: true,
        bias: true,
        outBias: false,
        isCausal: true,
        localWindow: 4,
        qChunk: 3,
        prompt: 4,
        rest: 3,
        seed: 5,
      },
    };
    await check(backend, all);
    // Tied queries and keys want a key-value head for every query head.
    await check(backend, { ...all, groups: 1, tieQk: true });
    expect(() => attentionLayerConfig({ ...configOf(all), tieQk: true })).toThrow(/tieQk.*nKvHeads/);
  });
});
