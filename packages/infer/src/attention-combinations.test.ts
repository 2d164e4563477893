// Cached decoding of models whose attention has many options at once, drawn at random: prompts in pieces, one token, three
// tokens, with and without a window of the decoder, against passes over the whole sequence. What the passes give is
// compared with loops in float64 in @caramba/layers.
import { type AttentionLayerInput, llamaModel } from "@caramba/config";
import { buildModel, type Model } from "@caramba/model";
import { type Backend, compile, input, openBackend, Philox } from "@caramba/tensor";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Decoder } from "./decoder.ts";

const [v, length] = [11, 16];
const flag = fc.boolean();
const drawn = fc.record({
  kvHeads: fc.constantFrom(1, 2),
  groups: fc.constantFrom(1, 2),
  decoupled: flag,
  gate: fc.constantFrom("none", "static", "dynamic"),
  ropeDim: fc.constantFrom(null, 2),
  flags: fc.record({ nullAttn: flag, learnedTemp: flag, qkNorm: flag, bias: flag }),
  tieQk: flag,
  localWindow: fc.option(fc.integer({ min: 1, max: 6 })),
  memory: fc.option(
    fc.record({ memBlock: fc.integer({ min: 1, max: 4 }), memSummarize: fc.constantFrom("mean", "linear", "conv") }),
  ),
  /** Of the decoder: a window of its own, none, or the layers'. */
  window: fc.constantFrom(undefined, null, 3),
  qChunk: fc.constantFrom(undefined, 2, 5),
  batchSize: fc.constantFrom(1, 2),
  prompt: fc.integer({ min: 1, max: 8 }),
  seed: fc.nat(1_000_000),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;

function model(c: Drawn): Model {
  const nHeads = c.kvHeads * c.groups;
  const attention = {
    ...{ nHeads, nKvHeads: c.kvHeads, attnDim: 4 * nHeads, ropeDim: c.ropeDim, localWindow: c.localWindow, ...c.flags },
    ...(c.localWindow === null ? {} : c.memory),
    ...(c.decoupled
      ? {
          ...{ mode: "decoupled", semDim: 2 * nHeads, geoDim: 4 * nHeads, tieQk: c.tieQk && c.groups === 1 },
          ...{ decoupledGate: c.gate !== "none", decoupledGateDynamic: c.gate === "dynamic" },
        }
      : { mode: "gqa" }),
  } as Omit<AttentionLayerInput, "dModel" | "type">;
  const made = buildModel(llamaModel({ vocabSize: v, dModel: 12, layers: 2, attention, feedForward: 16 }), { seed: 1 });
  const random = new Philox(c.seed, 3);
  for (const variable of made.variables().values())
    if (variable.trainable) variable.write(Float32Array.from({ length: variable.size }, () => random.normal() / 2));
  return made;
}

async function check(backend: Backend, c: Drawn): Promise<void> {
  const of = model(c);
  const { batchSize, window: localWindow } = c;
  const random = new Philox(c.seed, 4);
  const ids = Int32Array.from({ length: batchSize * length }, () => Math.floor(random.uniform() * v));
  const context = localWindow === undefined ? {} : { localWindow };
  const y = of.forward(input("ids", [batchSize, length], "int32"), context);
  const whole = await compile({ outputs: { y } }, { backend });
  const expected = (await whole.read({ ids }))["y"] as Float32Array;
  whole.dispose();
  const decoder = await Decoder.open(of, {
    ...{ backend, batchSize, storage: "fp32", maxSeqLen: length },
    ...context,
    ...(c.qChunk === undefined ? {} : { qChunk: c.qChunk }),
  });
  const cuts = [c.prompt, c.prompt + 1, c.prompt + 4, c.prompt + 5, length];
  for (const [i, to] of cuts.entries()) {
    const from = cuts[i - 1] ?? 0;
    const rows = Array.from({ length: batchSize }, (_, row) => [
      ...ids.subarray(row * length + from, row * length + to),
    ]);
    const logits = await decoder.feed(Int32Array.from(rows.flat()));
    logits.forEach((found, at) => {
      const want = expected[(Math.floor(at / v) * length + to - 1) * v + (at % v)] as number;
      if (!(Math.abs(found - want) <= 5e-5 * (1 + Math.abs(want)))) expect.fail(`after ${to}: ${found}, not ${want}`);
    });
  }
  decoder.dispose();
}

describe.each([
  ["reference", 25],
  ["onnx:cpu", 6],
])("on %s", (device, numRuns) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it(`${numRuns} combinations decode as whole passes`, async () => {
    await fc.assert(
      fc.asyncProperty(drawn, (c) => check(backend, c)),
      { numRuns, seed: 7 },
    );
  });
});
