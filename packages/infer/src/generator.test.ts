// Generation against a loop that runs the whole sequence through the model anew for every token.
import { llamaModel } from "@caramba/config";
import { buildModel, type Model } from "@caramba/model";
import { compile, input, Philox, ReferenceBackend, sym } from "@caramba/tensor";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { Generator, generate } from "./generator.ts";
import { argmax, sampleToken } from "./sampling.ts";

const backend = new ReferenceBackend();
const v = 11;
const model = buildModel(
  llamaModel({
    ...{ vocabSize: v, dModel: 8, layers: 1, tiedEmbeddings: false },
    ...{ attention: { nHeads: 2, nKvHeads: 1 }, feedForward: [] },
  }),
  { seed: 12 },
);

let lastLogits: (ids: readonly number[]) => Promise<Float32Array>;

beforeAll(async () => {
  // Larger weights than a fresh model's, so that greedy decoding does not fall into a fixed point at once.
  const random = new Philox(4);
  for (const variable of model.variables().values())
    if (variable.shape.length > 1) variable.write(Float32Array.from({ length: variable.size }, () => random.normal()));
  const program = await compile({ outputs: { y: model.forward(input("ids", [1, sym("T")], "int32")) } }, { backend });
  lastLogits = async (ids) => ((await program.read({ ids: Int32Array.from(ids) }))["y"] as Float32Array).slice(-v);
});

async function slowGreedy(prompt: readonly number[], count: number, eos: number | null = null): Promise<number[]> {
  const out: number[] = [];
  while (out.length < count && (out.length === 0 || out.at(-1) !== eos))
    out.push(argmax(await lastLogits([...prompt, ...out])));
  return out;
}

const greedy = { temperature: 0, maxNewTokens: 12, cacheKind: "fp32" } as const;
const prompts = [
  [1, 2, 3],
  [7, 0, 9],
  [4, 4, 10],
];

describe("generate", () => {
  it("is greedy decoding without a cache, row by row", async () => {
    const expected = await Promise.all(prompts.map((prompt) => slowGreedy(prompt, 12)));
    expect(await generate(model, prompts, { backend, config: greedy })).toEqual(expected);
    expect(await generate(model, prompts.slice(1, 2), { backend, config: greedy })).toEqual(expected.slice(1, 2));
  });

  it("ends each row at its own end token, and stops when all have ended", async () => {
    const full = await Promise.all(prompts.map((prompt) => slowGreedy(prompt, 12)));
    // A token that ends rows at different steps: the rows must not wait for, or end with, one another.
    const eosTokenId = Array.from({ length: v }, (_, id) => id).find(
      (id) => new Set(full.map((row) => row.indexOf(id))).size === full.length,
    ) as number;
    expect(eosTokenId).toBeDefined();
    const expected = await Promise.all(prompts.map((prompt) => slowGreedy(prompt, 12, eosTokenId)));
    expect(new Set(expected.map((row) => row.length)).size).toBeGreaterThan(1);
    const generator = await Generator.open(model, { backend, config: { ...greedy, eosTokenId }, batchSize: 3 });
    expect(await generator.generate(prompts)).toEqual(expected);
    const longest = Math.max(...expected.map((row) => row.length));
    // Every sampled token but the last was fed: no decode too many.
    expect(generator.decoder.length).toBe(3 + longest - 1);
  });

  it("draws from the seed: the same again, others for other seeds", async () => {
    const config = { ...greedy, temperature: 1, topK: 6, topP: 0.9 };
    const run = (seed: number) => generate(model, prompts, { backend, config, seed });
    expect(await run(1)).toEqual(await run(1));
    expect(await run(1)).not.toEqual(await run(2));
    const [own = []] = await generate(model, [[5, 6]], { backend, config, seed: 3 });
    const random = new Philox(3);
    const expected: number[] = [];
    while (expected.length < 12)
      expected.push(sampleToken(await lastLogits([5, 6, ...expected]), config, random.uniform()));
    expect(own).toEqual(expected);
  });
});

describe("Generator", () => {
  it("never samples padding of the table", async () => {
    const config = { maxNewTokens: 40, temperature: 3, maxSeqLen: 64 };
    const all = (await generate(model, [[1, 2]], { backend, config, seed: 5 }))[0] ?? [];
    expect(Math.max(...all)).toBeGreaterThanOrEqual(6);
    const some = (await generate(model, [[1, 2]], { backend, config, seed: 5, validVocabSize: 6 }))[0] ?? [];
    expect(some).toHaveLength(40);
    expect(Math.max(...some)).toBeLessThan(6);
  });

  it("streams tokens as they are sampled", async () => {
    const generator = await Generator.open(model, { backend, config: greedy });
    const seen: (number | null)[] = [];
    for await (const [token] of generator.stream([[1, 2, 3]])) {
      seen.push(token as number);
      // Nothing runs ahead of the reader.
      expect(generator.decoder.length).toBe(3 + seen.length - 1);
    }
    expect(seen).toEqual(await slowGreedy([1, 2, 3], 12));
  });

  it("goes on from its cache in a second turn, feeding only what is new", async () => {
    const generator = await Generator.open(model, { backend, config: { ...greedy, maxNewTokens: 3 } });
    const [first = []] = await generator.generate([[1, 2, 3]]);
    const fed = vi.spyOn(generator.decoder, "feed");
    const turn = [first.at(-1) as number, 8, 5];
    const [second = []] = await generator.generate([turn]);
    expect(fed.mock.calls.map(([tokens]) => tokens.length)).toEqual([3, 1, 1]);
    expect(second).toEqual(await slowGreedy([1, 2, 3, ...first, 8, 5], 3));
  });

  it("takes steps back and starts anew", async () => {
    const generator = await Generator.open(model, { backend, config: { ...greedy, maxNewTokens: 4 } });
    const [first] = await generator.generate([[1, 2, 3]]);
    generator.rollback(generator.decoder.length - 2);
    expect(await generator.generate([[3]])).toEqual([first]);
    generator.reset();
    expect(await generator.generate([[1, 2, 3]])).toEqual([first]);
    generator.dispose();
  });

  it("refuses what does not fit max_seq_len before anything runs", async () => {
    const config = { ...greedy, maxNewTokens: 6, maxSeqLen: 8 };
    const generator = await Generator.open(model, { backend, config });
    const fed = vi.spyOn(generator.decoder, "feed");
    await expect(generator.generate([[1, 2, 3, 4]])).rejects.toMatchObject({
      code: "cache-overflow",
      message: expect.stringContaining("max_seq_len 8"),
      remedy: expect.stringContaining("max_new_tokens"),
    });
    expect(fed).not.toHaveBeenCalled();
    // Three tokens of prompt and six new ones fill it: the last is not fed.
    expect((await generator.generate([[1, 2, 3]]))[0]).toEqual(await slowGreedy([1, 2, 3], 6));
    expect(generator.decoder.length).toBe(8);
  });

  it("refuses prompts that do not fit together", async () => {
    const generator = await Generator.open(model, { backend, config: greedy, batchSize: 2 });
    for (const bad of [[[1]], [[1], [1, 2]], []])
      await expect(generator.generate(bad)).rejects.toMatchObject({ code: "prompt" });
    await expect(generator.generate([[], []])).rejects.toMatchObject({ code: "prompt" });
    await expect(generator.generate([[1], [v]])).rejects.toMatchObject({ code: "token-id" });
    await expect(generator.generate([[1], [-1]])).rejects.toMatchObject({ code: "token-id" });
    expect(generator.decoder.length).toBe(0);
  });

  it.each([
    { repetitionPenalty: 1.1 },
    { useDiffusion: true },
    { stopSequences: ["."] },
    { cachePolicy: {} },
    { cacheResidualLen: 4 },
    { cacheKind: "q8_0" },
    { cacheKind: "auto" },
  ] as object[])("refuses settings that are not built: %o", async (config) => {
    await expect(Generator.open(model, { backend, config })).rejects.toMatchObject({ code: "unsupported" });
  });

  it("refuses a model without embedder", async () => {
    const bare: Model = buildModel({
      topology: { type: "StackedTopology", layers: [{ type: "LinearLayer", dIn: 2, dOut: 2 }] },
    });
    await expect(Generator.open(bare, { backend })).rejects.toMatchObject({ code: "model" });
  });
});
