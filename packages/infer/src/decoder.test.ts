import { llamaModel } from "@caramba/config";
import { buildModel } from "@caramba/model";
import { compile, constant, Philox, ReferenceBackend, reshape } from "@caramba/tensor";
import { expect, test } from "vitest";
import { Decoder } from "./decoder.ts";

const backend = new ReferenceBackend();
const attentions = {
  standard: { mode: "standard" as const },
  gqa: { mode: "gqa" as const, nKvHeads: 2 },
  window: { mode: "gqa" as const, nKvHeads: 2, localWindow: 3 },
  decoupled: { mode: "decoupled" as const, nKvHeads: 2, semDim: 8, geoDim: 16, attnDim: 8, decoupledGate: true },
  // The null key is in no cache and shifts no position; the window counts cached positions.
  nullKey: { mode: "gqa" as const, nKvHeads: 2, nullAttn: true, learnedTemp: true, qkNorm: true, localWindow: 3 },
  everything: {
    ...{ mode: "decoupled" as const, nKvHeads: 2, semDim: 8, geoDim: 16, attnDim: 8, ropeDim: 2, ropeSemantic: true },
    ...{ decoupledGate: true, decoupledGateDynamic: true, nullAttn: true, learnedTemp: true, qkNorm: true, bias: true },
    ...{ localWindow: 4, ropeScaling: { ropeType: "linear" as const, factor: 2 }, qChunk: 2 },
  },
  summaries: { mode: "gqa" as const, nKvHeads: 2, localWindow: 2, memBlock: 3, memActivationThreshold: 6 },
  summariesLinear: { localWindow: 1, memBlock: 2, memSummarize: "linear" as const, nullAttn: true, qChunk: 2 },
  summariesConv: {
    ...{ mode: "decoupled" as const, nKvHeads: 2, semDim: 8, geoDim: 16, attnDim: 8, decoupledGate: true },
    ...{ localWindow: 2, memBlock: 2, memSummarize: "conv" as const },
  },
  tied: { mode: "decoupled" as const, semDim: 8, geoDim: 16, tieQk: true, nullAttn: true },
};

const tiny = (attention: object) =>
  buildModel(
    llamaModel({ vocabSize: 11, dModel: 16, layers: 2, attention: { nHeads: 4, ...attention }, feedForward: [] }),
    { seed: 3 },
  );

/** Logits of every position without a cache. */
async function uncached(model: ReturnType<typeof tiny>, ids: number[]): Promise<Float32Array> {
  const tokens = reshape(constant(Int32Array.from(ids), [ids.length]), [1, ids.length]);
  const program = await compile({ outputs: { logits: model.forward(tokens) } }, { backend });
  const { logits } = await program.read();
  return logits as Float32Array;
}

for (const [name, attention] of Object.entries(attentions))
  test(`cached output equals uncached: ${name}`, async () => {
    const model = tiny(attention);
    // What starts at zero (gates, temperature, biases) must matter.
    const random = new Philox(8, 1);
    for (const [path, variable] of model.variables())
      if (/gate|temperature|null|bias|_norm|mem_/.test(path))
        variable.write(Float32Array.from({ length: variable.size }, () => 0.5 + random.normal()));
    const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    const expected = await uncached(model, ids);
    const decoder = await Decoder.open(model, { backend, storage: "fp32" });
    const feed = (part: number[]) => decoder.feed(Int32Array.from(part));
    // Prefill, single steps, and several tokens appended to a cache that is not empty.
    for (const [from, to] of [
      [0, 3],
      [3, 4],
      [4, 7],
      [7, 8],
      [8, 10],
    ] as const) {
      const logits = await feed(ids.slice(from, to));
      logits.forEach((v, i) => {
        expect(v).toBeCloseTo(expected[(to - 1) * 11 + i] as number, 5);
      });
    }
    expect(decoder.length).toBe(10);
  });

test("a truncated cache decodes like a fresh one", async () => {
  const model = tiny(attentions.decoupled);
  const fresh = await Decoder.open(model, { backend, storage: "fp32" });
  const used = await Decoder.open(model, { backend, storage: "fp32" });
  await fresh.feed(Int32Array.of(1, 2, 3));
  await used.feed(Int32Array.of(1, 2, 3, 7, 8));
  used.rollback(2);
  expect(await used.feed(Int32Array.of(4))).toEqual(await fresh.feed(Int32Array.of(4)));
});

test("an fp16 cache takes half the bytes and stays close", async () => {
  const model = tiny(attentions.gqa);
  const run = async (storage: "fp32" | "fp16") => {
    const decoder = await Decoder.open(model, { backend, storage });
    await decoder.feed(Int32Array.of(1, 2, 3));
    return { logits: await decoder.feed(Int32Array.of(4)), bytes: decoder.cache.bytes };
  };
  const [full, half] = [await run("fp32"), await run("fp16")];
  expect(half.bytes * 2).toBe(full.bytes);
  half.logits.forEach((v, i) => {
    expect(Math.abs(v - (full.logits[i] as number))).toBeLessThan(2e-3);
  });
  expect(half.logits).not.toEqual(full.logits);
});

test("ids outside the vocabulary are refused", async () => {
  const decoder = await Decoder.open(tiny(attentions.gqa), { backend });
  await expect(decoder.feed(Int32Array.of(11))).rejects.toThrow(/token id 11.*vocabulary of 11/);
});

test("what cannot be fed is refused, and the cache stays as it was", async () => {
  const decoder = await Decoder.open(tiny(attentions.gqa), { backend, batchSize: 2, maxSeqLen: 3 });
  await decoder.warm();
  await decoder.feed(Int32Array.of(1, 2, 3, 4));
  for (const odd of [Int32Array.of(1, 2, 3), Int32Array.of()])
    await expect(decoder.feed(odd)).rejects.toMatchObject({ code: "prompt" });
  await expect(decoder.feed(Int32Array.of(1, 2, 3, 4))).rejects.toMatchObject({ code: "cache-overflow" });
  await expect(decoder.feed(Int32Array.of(1, -1))).rejects.toMatchObject({ code: "token-id" });
  expect(() => decoder.rollback(3)).toThrow(/cannot roll 2 positions back by 3/);
  expect(decoder.length).toBe(2);
  await decoder.feed(Int32Array.of(1, 2));
  expect(decoder.length).toBe(3);
  decoder.reset();
  expect(decoder.length).toBe(0);
  decoder.dispose();
});

test("a prompt longer than a piece gives the logits of one forward pass", async () => {
  const model = tiny(attentions.gqa);
  const length = 530;
  const rows = [0, 1].map((row) => Array.from({ length }, (_, i) => (i * (row + 3) + row) % 11));
  const decoder = await Decoder.open(model, { backend, storage: "fp32", batchSize: 2 });
  const logits = await decoder.feed(Int32Array.from(rows.flat()));
  for (const [row, ids] of rows.entries()) {
    const expected = await uncached(model, ids);
    for (let v = 0; v < 11; v++) expect(logits[row * 11 + v]).toBeCloseTo(expected[(length - 1) * 11 + v] as number, 5);
  }
  expect(decoder.length).toBe(length);
});

test("a decoder's window beats the layers', and its pieces change nothing", async () => {
  const ids = Int32Array.from([3, 1, 4, 1, 5, 9, 2, 6, 5, 3]);
  const logits = async (attention: object, options: object) => {
    const decoder = await Decoder.open(tiny(attention), { backend, storage: "fp32", ...options });
    const all = [await decoder.feed(ids.slice(0, 8)), await decoder.feed(ids.slice(8, 9))];
    decoder.dispose();
    return Float32Array.from(all.flatMap((row) => [...row]));
  };
  const close = (a: Float32Array, b: Float32Array) =>
    a.forEach((v, i) => {
      expect(v).toBeCloseTo(b[i] as number, 5);
    });
  const windowed = await logits({ localWindow: 3 }, {});
  const whole = await logits({}, {});
  expect(windowed).not.toEqual(whole);
  close(await logits({}, { localWindow: 3 }), windowed);
  close(await logits({ localWindow: 5 }, { localWindow: 3 }), windowed);
  close(await logits({ localWindow: 3 }, { localWindow: null }), whole);
  for (const qChunk of [1, 3, null]) close(await logits({ localWindow: 3 }, { qChunk }), windowed);
  close(await logits({ localWindow: 3, qChunk: 3 }, {}), windowed);
  for (const options of [{ qChunk: 0 }, { localWindow: 1.5 }])
    await expect(Decoder.open(tiny({}), { backend, ...options })).rejects.toMatchObject({ code: "argument" });
});

test("a prompt is scored in pieces of the layers' smallest q_chunk", async () => {
  const decoder = await Decoder.open(tiny({ qChunk: 4 }), { backend, storage: "fp32" });
  const lengths: number[] = [];
  const append = decoder.cache.append.bind(decoder.cache);
  decoder.cache.append = (rows) => {
    lengths.push(rows[0]?.[0]?.shape[0] as number);
    append(rows);
  };
  await decoder.feed(Int32Array.from({ length: 10 }, (_, i) => i));
  expect(lengths).toEqual([4, 4, 2]);
});
