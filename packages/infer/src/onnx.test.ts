// On a real engine: cached decoding against the uncached forward pass, a cache that takes the bytes it is said to, and
// weights that training and inference share.
import { open } from "@caramba/backend-onnx";
import type { AttentionLayerInput } from "@caramba/config";
import { llamaModel } from "@caramba/config";
import { buildModel, kvBytesPerToken, type Model } from "@caramba/model";
import { type Backend, compile, input, mul, sub, sum, sym } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Decoder } from "./decoder.ts";

const v = 61;
let backend: Backend;

beforeAll(async () => {
  backend = await open({ threads: 2 });
});
afterAll(() => backend.close());

const attentions: Record<string, Omit<AttentionLayerInput, "dModel" | "nHeads">> = {
  standard: {},
  gqa: { nKvHeads: 2, mode: "gqa" },
  window: { nKvHeads: 2, localWindow: 5 },
  "decoupled, shared heads, gate": {
    mode: "decoupled",
    nKvHeads: 2,
    semDim: 16,
    geoDim: 32,
    attnDim: 16,
    decoupledGate: true,
  },
  "null key, window, partial rotation, norms": {
    ...{ nKvHeads: 2, nullAttn: true, localWindow: 5, ropeDim: 4, qkNorm: true, learnedTemp: true },
  },
  "decoupled, null key, semantic rotation, dynamic gate": {
    ...{ mode: "decoupled", nKvHeads: 2, semDim: 16, geoDim: 32, attnDim: 16, nullAttn: true, ropeSemantic: true },
    ...{ decoupledGate: true, decoupledGateDynamic: true },
  },
  "summaries of the far past, linear, null key": {
    ...{ nKvHeads: 2, localWindow: 7, memBlock: 5, memSummarize: "linear", memActivationThreshold: 30, nullAttn: true },
  },
  "summaries of the far past, decoupled, conv": {
    ...{ mode: "decoupled", nKvHeads: 2, semDim: 16, geoDim: 32, attnDim: 16 },
    ...{ localWindow: 5, memBlock: 16, memSummarize: "conv" },
  },
};

const llama = (attention: object, seed = 5): Model =>
  buildModel(
    llamaModel({
      ...{ vocabSize: v, dModel: 64, layers: 2, tiedEmbeddings: false },
      ...{ attention: { nHeads: 8, ...attention }, feedForward: 96 },
    }),
    { seed },
  );

const ids = Int32Array.from({ length: 2 * 90 }, (_, i) => (i * i * 7 + 3 * i) % v);
/** Tokens from..to of both rows. */
const part = (from: number, to: number): Int32Array =>
  Int32Array.from([...ids.subarray(from, to), ...ids.subarray(90 + from, 90 + to)]);

/** Logits [2, 90, V] without a cache. */
async function uncached(model: Model): Promise<Float32Array> {
  const y = model.forward(input("ids", [2, sym("T")], "int32"));
  const program = await compile({ outputs: { y } }, { backend });
  const found = (await program.read({ ids: { data: ids, shape: [2, 90] } }))["y"] as Float32Array;
  program.dispose();
  return found;
}

describe.each(Object.entries(attentions))("%s", (_, attention) => {
  it.each([
    ["fp32", 2e-5],
    ["fp16", 5e-3],
  ] as const)("decoding from an %s cache gives the logits of the whole pass", async (storage, tolerance) => {
    const model = llama(attention);
    const expected = await uncached(model);
    const decoder = await Decoder.open(model, { backend, storage, batchSize: 2, maxSeqLen: 90 });
    // Prefill, single steps, several tokens at once; past 64 positions the cache grows.
    const cuts = [0, 20, 21, 22, 23, 40, ...Array.from({ length: 50 }, (_, i) => 41 + i)];
    for (const [i, from] of cuts.slice(0, -1).entries()) {
      const to = cuts[i + 1] as number;
      const logits = await decoder.feed(part(from, to));
      for (let row = 0; row < 2; row++)
        for (let k = 0; k < v; k++) {
          const want = expected[(row * 90 + to - 1) * v + k] as number;
          const found = logits[row * v + k] as number;
          if (!(Math.abs(found - want) <= tolerance)) expect.fail(`${found} instead of ${want} after ${to} tokens`);
        }
    }
    expect(decoder.length).toBe(90);
    expect(decoder.cache.bytes).toBe(2 * 90 * kvBytesPerToken(model, storage));
    decoder.dispose();
  });
});

describe("weights", () => {
  it("that an update changed are what a decoder uses next, without copies", async () => {
    const model = llama({ nKvHeads: 2 });
    const decoder = await Decoder.open(model, { backend, storage: "fp32" });
    const logitsOf = async () => {
      decoder.reset();
      return decoder.feed(ids.slice(0, 10));
    };
    const before = await logitsOf();
    const trainable = [...model.trainable().values()];
    const changed = trainable.map((variable) => [variable, mul(variable.tensor, 1.25)] as const);
    const program = await compile({ outputs: {}, updates: changed }, { backend });
    const [upload, read] = [vi.spyOn(backend, "upload"), vi.spyOn(backend, "read")];
    await program.run();
    const after = await logitsOf();
    // Tokens and positions go up, logits come down: no weight moves.
    expect(upload.mock.calls.every(([data]) => data.length <= 10)).toBe(true);
    expect(read).toHaveBeenCalledTimes(1);
    vi.restoreAllMocks();
    expect(after).not.toEqual(before);

    // A model that was made with those weights computes the same.
    const other = llama({ nKvHeads: 2 }, 99);
    const values = await Promise.all(trainable.map((variable) => variable.read()));
    [...other.trainable().values()].forEach((variable, i) => {
      variable.write(values[i] as Float32Array);
    });
    const fresh = await Decoder.open(other, { backend, storage: "fp32" });
    expect(await fresh.feed(ids.slice(0, 10))).toEqual(after);
  });

  it("stay when an update is not accepted", async () => {
    const model = llama({ nKvHeads: 2 });
    const decoder = await Decoder.open(model, { backend, storage: "fp32" });
    const before = await decoder.feed(ids.slice(0, 10));
    const [first] = model.trainable().values();
    if (!first) expect.fail("a model without weights");
    const loss = sum(sub(first.tensor, 1));
    const updates = [[first, mul(first.tensor, 0)]] as const;
    const program = await compile({ outputs: { loss }, updates }, { backend });
    await program.run({}, { accept: () => false });
    decoder.reset();
    expect(await decoder.feed(ids.slice(0, 10))).toEqual(before);
  });
});
