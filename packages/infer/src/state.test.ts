// Cached decoding of models with recurrent layers: equal to the whole pass, over long prompts in pieces, side by side,
// after any rollback, beside attention and in cycles; bytes as predicted; refusals.
import type { NodeInput } from "@caramba/config";
import {
  buildModel,
  cacheBytes,
  kvElementsPerToken,
  type Model,
  modelMemory,
  stateBytes,
  stateElements,
} from "@caramba/model";
import { type Backend, compile, input, openBackend, Philox, ReferenceBackend, sym } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Decoder } from "./decoder.ts";
import { generate } from "./generator.ts";

const [v, d] = [13, 8];
type Layers = NodeInput[];

function language(layers: Layers, seed = 5): Model {
  const model = buildModel(
    {
      embedder: { type: "token", vocabSize: v, dModel: d },
      topology: { type: "StackedTopology", layers: [...layers, { type: "RMSNormLayer", dModel: d }] },
    },
    { seed },
  );
  // Embeddings large enough for states to matter.
  const random = new Philox(6);
  model.embedder?.weight.write(Float32Array.from({ length: v * d }, () => random.normal()));
  return model;
}

const residual = (layer: NodeInput): NodeInput => ({
  type: "ResidualTopology",
  layers: [{ type: "RMSNormLayer", dModel: d }, layer],
});
const ssm = residual({ type: "SSMLayer", dModel: d, dState: 4 });
const attention = residual({ type: "AttentionLayer", dModel: d, nHeads: 2 });
const gru = residual({ type: "RNNLayer", cell: "gru", inputSize: d, hiddenSize: d, numLayers: 2 });
const lstm = residual({ type: "RNNLayer", inputSize: d, hiddenSize: 12, projSize: d });
const conv = residual({ type: "Conv1dLayer", dModel: d, kernelSize: 3 });

const models: Record<string, Layers> = {
  ssm: [ssm, ssm],
  gru: [gru],
  lstm: [lstm],
  "a causal convolution": [conv],
  "ssm beside attention": [ssm, attention, conv],
  "ssm and attention in a cycle": [{ type: "CyclicTopology", iterations: 3, layers: [ssm, attention] }],
  "states in a recurrent topology": [{ type: "RecurrentTopology", layers: [lstm, ssm] }],
};

const length = 40;
const ids = Int32Array.from({ length: 2 * length }, (_, i) => (i * i * 7 + 3 * i + (i > length ? 1 : 0)) % v);
const part = (from: number, to: number): Int32Array =>
  Int32Array.from([...ids.subarray(from, to), ...ids.subarray(length + from, length + to)]);

async function uncached(model: Model, backend: Backend, tokens: Int32Array, batch: number): Promise<Float32Array> {
  const y = model.forward(input("ids", [batch, sym("T")], "int32"));
  const program = await compile({ outputs: { y } }, { backend });
  const shape = [batch, tokens.length / batch];
  const found = (await program.read({ ids: { data: tokens, shape } }))["y"] as Float32Array;
  program.dispose();
  return found;
}

function expectLogits(found: Float32Array, expected: Float32Array, to: number): void {
  for (let row = 0; row < 2; row++)
    for (let k = 0; k < v; k++) {
      const want = expected[(row * length + to - 1) * v + k] as number;
      const got = found[row * v + k] as number;
      if (!(Math.abs(got - want) <= 2e-5)) expect.fail(`${got} instead of ${want} after ${to} tokens`);
    }
}

describe.each(["reference", "onnx:cpu"])("on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  describe.each(Object.entries(models))("%s", (_, layers) => {
    it("decodes to the logits of the whole pass: steps, several tokens at once, prompts in pieces", async () => {
      const model = language(layers);
      const expected = await uncached(model, backend, ids, 2);
      const decoder = await Decoder.open(model, {
        backend,
        storage: "fp32",
        batchSize: 2,
        maxSeqLen: length,
        qChunk: 6,
      });
      for (let again = 0; again < 2; again++) {
        const cuts = [0, 15, 16, 17, 21, 22, 40];
        for (const [i, from] of cuts.slice(0, -1).entries()) {
          const to = cuts[i + 1] as number;
          expectLogits(await decoder.feed(part(from, to)), expected, to);
          expect(decoder.length).toBe(to);
        }
        decoder.reset();
        expect(decoder.length).toBe(0);
      }
      decoder.dispose();
    });

    it("goes on rightly after any rollback", async () => {
      const model = language(layers);
      const expected = await uncached(model, backend, ids, 2);
      const decoder = await Decoder.open(model, { backend, storage: "fp32", batchSize: 2, maxSeqLen: length });
      const random = new Philox(9);
      for (let turn = 0; turn < 12; turn++) {
        const at = decoder.length;
        const n = Math.min(length - at, 1 + Math.floor(4 * random.uniform()) ** 2);
        if (n > 0) expectLogits(await decoder.feed(part(at, at + n)), expected, at + n);
        // The last tokens only, everything but a few, nothing, and again and again without feeding.
        const back = Math.floor(random.uniform() ** 2 * (decoder.length + 1));
        const before = decoder.length;
        decoder.rollback(back);
        decoder.rollback(0);
        if (decoder.length > 0 && turn % 3 === 0) decoder.rollback(1);
        expect(decoder.length).toBe(Math.max(0, before - back - (before > back && turn % 3 === 0 ? 1 : 0)));
      }
      decoder.dispose();
    });

    it.each(["fp32", "fp16"] as const)("allocates the bytes that are predicted, in %s", async (storage) => {
      const model = language(layers);
      const decoder = await Decoder.open(model, { backend, storage, batchSize: 2, maxSeqLen: length });
      decoder.cache.reserve(length);
      expect(decoder.cache.bytes).toBe(2 * cacheBytes(model, length, storage));
      await decoder.feed(part(0, length));
      expect(decoder.cache.bytes).toBe(2 * cacheBytes(model, length, storage));
      decoder.dispose();
    });
  });

  it("taking back the last step of a state costs nothing", async () => {
    const model = language([ssm]);
    const decoder = await Decoder.open(model, { backend, batchSize: 2, maxSeqLen: length });
    await decoder.feed(part(0, 9));
    await decoder.feed(part(9, 12));
    decoder.rollback(3);
    expect([decoder.length, decoder.cache.length]).toEqual([9, 9]);
    // Further back, the state is not known: the cache begins anew, the tokens are fed with the next ones.
    decoder.rollback(2);
    expect([decoder.length, decoder.cache.length]).toEqual([7, 0]);
    await decoder.feed(part(7, 8));
    expect([decoder.length, decoder.cache.length]).toEqual([8, 8]);
    decoder.dispose();
  });

  it("generates what taking the likeliest token of whole passes gives", async () => {
    for (const layers of [[ssm, ssm], [gru]]) {
      const model = language(layers as Layers);
      const prompt = [3, 1, 4, 1, 5];
      const config = { maxNewTokens: 12, temperature: 0, cacheKind: "fp32" as const };
      const [found] = await generate(model, [prompt], { config, backend });
      const all = [...prompt];
      for (let i = 0; i < 12; i++) {
        const logits = await uncached(model, backend, Int32Array.from(all), 1);
        const last = logits.subarray((all.length - 1) * v);
        all.push(last.indexOf(Math.max(...last)));
      }
      expect(found).toEqual(all.slice(prompt.length));
    }
  });
});

describe("accounting", () => {
  it("counts every call of a layer in a cycle", () => {
    const once = language([ssm, attention]);
    const cycle = language([{ type: "CyclicTopology", iterations: 3, layers: [ssm, attention] }]);
    expect(kvElementsPerToken(once)).toEqual({ total: 2 * d, keysOnly: d });
    expect(kvElementsPerToken(cycle)).toEqual({ total: 3 * 2 * d, keysOnly: 3 * d });
    expect(stateElements(once)).toBe(2 * d * (4 + 3));
    expect(stateElements(cycle)).toBe(3 * 2 * d * (4 + 3));
    expect(stateBytes(cycle)).toBe(4 * stateElements(cycle));
    const { rows, states } = modelMemory(cycle);
    expect(new Set(rows.map(({ path }) => path)).size).toBe(3);
    expect(new Set(states.map(({ path }) => path)).size).toBe(6);
  });
});

it("a layer that reads what is yet to come is refused before anything runs", async () => {
  const model = language([residual({ type: "RNNLayer", inputSize: d, hiddenSize: d / 2, bidirectional: true })]);
  await expect(Decoder.open(model, { backend: new ReferenceBackend() })).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("bidirectional") as string,
  });
});
