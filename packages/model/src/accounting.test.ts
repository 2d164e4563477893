// Costs against formulas worked out by hand. Weights are made when first needed, so even large models cost nothing here.
import type { AttentionLayerInput, NodeInput } from "@caramba/config";
import { ModelCache } from "@caramba/kvcache";
import { ReferenceBackend } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import {
  attentionLayers,
  forwardFlopsPerToken,
  kvBytesPerToken,
  kvElementsPerToken,
  parameterCount,
} from "./accounting.ts";
import { buildModel, type Model } from "./model.ts";

interface Sizes {
  readonly d: number;
  readonly ff: number;
  readonly v: number;
  readonly layers: number;
}

function llama({ d, ff, v, layers }: Sizes, attention: Omit<AttentionLayerInput, "dModel">, tied = true): Model {
  return buildModel({
    embedder: { type: "token", vocabSize: v, dModel: d },
    tiedEmbeddings: tied,
    topology: {
      type: "StackedTopology",
      layers: [
        {
          type: "NestedTopology",
          repeat: layers,
          layers: [
            {
              type: "ResidualTopology",
              layers: [
                { type: "RMSNormLayer", dModel: d },
                { type: "AttentionLayer", dModel: d, ...attention },
              ],
            },
            {
              type: "ResidualTopology",
              layers: [
                { type: "RMSNormLayer", dModel: d },
                { type: "SwiGLULayer", dModel: d, dFf: ff, bias: false },
              ],
            },
          ],
        },
        { type: "RMSNormLayer", dModel: d },
        ...(tied ? [] : [{ type: "LinearLayer", dIn: d, dOut: v, bias: false } as const]),
      ],
    },
  });
}

const llama1b: Sizes = { d: 2048, ff: 8192, v: 128256, layers: 16 };

describe("cache bytes per token of a 1B Llama, all 16 layers", () => {
  const dba = { nHeads: 32, mode: "decoupled" } as const;
  it.each([
    ["multi-head", { nHeads: 32 }, 131072, 69632, 36864],
    ["GQA with 8 key-value heads", { nHeads: 32, nKvHeads: 8, mode: "gqa" }, 32768, 17408, 9216],
    ["DBA 128/256, values 2048", { ...dba, nKvHeads: 32, semDim: 128, geoDim: 256 }, 77824, 41344, 21888],
    ["DBA 128/256, values 512", { ...dba, semDim: 128, geoDim: 256, attnDim: 512 }, 28672, 15232, 8064],
    ["DBA 64/128, values 512", { ...dba, semDim: 64, geoDim: 128, attnDim: 512 }, 22528, 11968, 6336],
    [
      "DBA 128/256, values 512, 8 shared heads",
      { ...dba, nKvHeads: 8, semDim: 128, geoDim: 256, attnDim: 512 },
      7168,
      3808,
      2016,
    ],
  ] as const)("%s", (_, attention, fp16, q8, q4) => {
    const model = llama(llama1b, attention);
    expect(kvBytesPerToken(model, "fp16")).toBe(fp16);
    expect(kvBytesPerToken(model, "fp32")).toBe(2 * fp16);
    expect(kvBytesPerToken(model, "q8_0")).toBe(q8);
    expect(kvBytesPerToken(model, "q4_0")).toBe(q4);
    expect(kvElementsPerToken(model).total).toBe(fp16 / 2);
  });

  it.each([
    { nHeads: 4 },
    { nHeads: 4, nKvHeads: 2, attnDim: 8 },
    { nHeads: 4, nKvHeads: 2, mode: "decoupled", semDim: 4, geoDim: 8, attnDim: 8 },
  ] as const)("is what a cache allocates: %o", (attention) => {
    const model = llama({ d: 16, ff: 24, v: 50, layers: 3 }, attention);
    const parts = attentionLayers(model).map(({ layer }) => layer.cacheParts);
    for (const storage of ["fp32", "fp16"] as const) {
      const backend = new ReferenceBackend();
      const cache = new ModelCache(parts, { backend, batchSize: 5, maxLength: 40, storage, capacity: 40 });
      expect(cache.bytes).toBe(5 * 40 * kvBytesPerToken(model, storage));
    }
  });

  it("counts keys apart: the 5.3-fold saving of the literature is of keys alone, against multi-head", () => {
    const keys = (attention: Omit<AttentionLayerInput, "dModel">) =>
      kvElementsPerToken(llama(llama1b, attention)).keysOnly / 16;
    expect(keys({ nHeads: 32 })).toBe(2048);
    expect(keys({ ...dba, semDim: 128, geoDim: 256 })).toBe(384);
  });
});

describe("parameters", () => {
  it("of Llama 3.2 1B are 1,235,814,400", () => {
    expect(parameterCount(llama(llama1b, { nHeads: 32, nKvHeads: 8 }))).toBe(1_235_814_400);
  });

  it("count a head of its own, gates and biases, and no frequencies", () => {
    const sizes = { d: 16, ff: 24, v: 50, layers: 3 };
    const attention = { nHeads: 4, nKvHeads: 2, mode: "decoupled", semDim: 8, geoDim: 16, attnDim: 8 } as const;
    const queries = 16 * 8 + 16 * 16;
    const block = queries + queries / 2 + (16 * 8) / 2 + 8 * 16 + 2 * 16 + 3 * 16 * 24;
    const rest = 50 * 16 + 16;
    expect(parameterCount(llama(sizes, attention))).toBe(rest + 3 * block);
    expect(parameterCount(llama(sizes, attention, false))).toBe(rest + 50 * 16 + 3 * block);
    const biases = (8 + 16) * 1.5 + 4 + 16;
    expect(parameterCount(llama(sizes, { ...attention, bias: true, decoupledGate: true }))).toBe(
      rest + 3 * (block + biases + 4),
    );
  });
});

describe("arithmetic", () => {
  it.each([
    ["gqa", { nHeads: 4, nKvHeads: 2, mode: "gqa" }, 16 * (16 + 8 + 8 + 16), 4 * (4 + 4)],
    [
      "decoupled",
      { nHeads: 4, nKvHeads: 2, mode: "decoupled", semDim: 8, geoDim: 16, attnDim: 8 },
      16 * (8 + 4 + 16 + 8 + 4 + 8),
      4 * (6 + 2),
    ],
  ] as const)("is two operations per weight and per pair of positions: %s", (_, attention, projections, perPair) => {
    const model = llama({ d: 16, ff: 24, v: 50, layers: 3 }, attention);
    for (const length of [1, 7, 64]) {
      const expected = 2 * (3 * (projections + 3 * 16 * 24 + perPair * length) + 16 * 50);
      expect(forwardFlopsPerToken(model, length)).toBe(expected);
    }
  });

  it("without embedder takes the width of the first layer that has one, or says that there is none", () => {
    const bare = (layers: NodeInput[]) => buildModel({ topology: { type: "StackedTopology", layers } });
    expect(forwardFlopsPerToken(bare([{ type: "AttentionLayer", dModel: 4, nHeads: 2 }]), 3)).toBe(
      2 * (4 * 16 + 8 * 3),
    );
    expect(forwardFlopsPerToken(bare([{ type: "LinearLayer", dIn: 2, dOut: 5 }]), 3)).toBe(2 * 2 * 5);
    expect(() => forwardFlopsPerToken(bare([{ type: "DropoutLayer" }]), 3)).toThrow(
      expect.objectContaining({ code: "model" }) as Error,
    );
  });
});
