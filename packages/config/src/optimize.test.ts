/** Sizes from 1M to 10B are met, by an independent count, whatever the vocabulary; what cannot be is refused. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { modelConfig, type NodeInput } from "./from-code.ts";
import type { ModelConfig } from "./model.ts";
import { optimize, optimizeModel } from "./optimize.ts";
import { modelParameters } from "./parameters.ts";
import { parseManifestOrThrow } from "./parse.ts";
import { presets } from "./presets/index.ts";
import { inferShapes } from "./shapes.ts";
import { childrenOf, layersOf } from "./tree.ts";

/** Llama-like models by the textbook: table + L (q, o: d^2; k, v: d x kv; SwiGLU 3 d f; two norms) + norm. */
function textbook(model: ModelConfig): number {
  const { embedder, topology } = model;
  if (embedder.type !== "token") throw new Error("no table");
  const d = embedder.dModel;
  const [blocks] = childrenOf(topology).map(({ node }) => node);
  if (!blocks || !("repeat" in blocks)) throw new Error("no blocks");
  let layer = 2 * d;
  for (const leaf of layersOf(blocks)) {
    if (leaf.type === "SwiGLULayer") layer += 3 * d * leaf.dFf;
    if (leaf.type === "AttentionLayer") layer += 2 * d * d + 2 * d * (d / leaf.nHeads) * (leaf.nKvHeads ?? leaf.nHeads);
  }
  return embedder.vocabSize * d + blocks.repeat * layer + d;
}

const size = fc.double({ min: 6, max: 10, noNaN: true }).map((power) => Math.round(10 ** power));
const vocabulary = fc.constantFrom(257, 2048, 8192, 32000, 50304, 128256);

describe("optimize", () => {
  it("is within 10 % of every target from 1M to 10B, or the vocabulary is too big for it", () => {
    const seen = { met: 0, refused: 0 };
    fc.assert(
      fc.property(size, vocabulary, fc.constantFrom(128, 2048, 131072), (target, vocabSize, blockSize) => {
        let model: ModelConfig;
        try {
          model = optimize(target, { vocabSize, blockSize });
        } catch (error) {
          expect((error as Error).message).toContain("within reach");
          expect(vocabSize * 32).toBeGreaterThan(0.9 * target);
          seen.refused++;
          return;
        }
        seen.met++;
        expect(Math.abs(textbook(model) / target - 1)).toBeLessThanOrEqual(0.1);
        expect(inferShapes(model).issues).toEqual([]);
      }),
      { numRuns: 400 },
    );
    expect(seen.met).toBeGreaterThan(200);
  });

  it.each([1e6, 1e7, 1e8, 125e6, 1e9, 1e10])("%d parameters are met closely with a sensible shape", (target) => {
    const model = optimize(target, { vocabSize: 2048 });
    expect(Math.abs(textbook(model) / target - 1)).toBeLessThan(0.03);
  });

  it("refuses what the table alone exceeds, and what is no size", () => {
    expect(() => optimize(1e6, { vocabSize: 128256 })).toThrow(/width 32 has 4104192/);
    for (const wrong of [0, -5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => optimize(wrong)).toThrow(/greater than 0/);
  });

  it.each(["research_decoupled", "research_bottleneck", "llama32_1b_dba", "quickstart", "standard_transformer"])(
    "%s keeps its kind of attention and compiles at every size that its table leaves room for",
    (name) => {
      for (const target of [3e7, 3e8, 3e9]) {
        const { plan } = parseManifestOrThrow(presets[name] ?? "");
        const written = plan.targets[0]?.model as ModelConfig;
        if (written.embedder.type !== "token" || written.embedder.vocabSize * 64 > target) continue;
        const model = optimizeModel(written, target);
        expect(inferShapes(model).issues).toEqual([]);
        expect(inferShapes(model).output.at(-1)).toBe(
          written.tiedEmbeddings ? written.embedder.vocabSize : inferShapes(written).output.at(-1),
        );
      }
    },
  );

  const d = 64;
  const tree = (...layers: NodeInput[]): ModelConfig =>
    modelConfig({
      embedder: { type: "token", vocabSize: 100, dModel: d },
      topology: { type: "StackedTopology", layers },
    });
  const linear = (dIn: number, dOut: number): NodeInput => ({ type: "LinearLayer", dIn, dOut });

  it("sizes models in every topology: what has the model's width follows it", () => {
    const model = tree(
      { type: "CyclicTopology", iterations: 3, layers: [{ type: "SSMLayer", dModel: d }] },
      {
        type: "GraphTopology",
        nodes: [
          { id: "a", op: "LinearLayer", in: "x", out: "a", config: { dIn: d, dOut: d } },
          { id: "low", op: "LinearLayer", in: "a", out: "b", config: { dIn: d, dOut: 8 } },
          { id: "up", op: "LinearLayer", in: "b", out: "c", config: { dIn: 8, dOut: d } },
          { id: "s", op: "add", in: ["c", "x"], out: "y" },
        ],
      },
      {
        type: "NestedTopology",
        repeat: 2,
        layers: [{ type: "RecurrentTopology", layers: [{ type: "RNNLayer", inputSize: d, hiddenSize: d }] }],
      },
    );
    for (const target of [2e5, 2e6, 2e7]) {
      const sized = optimizeModel(model, target);
      expect(inferShapes(sized).issues).toEqual([]);
      expect(Math.abs(modelParameters(sized) / target - 1)).toBeLessThan(0.1);
      // A width of its own stays.
      expect(layersOf(sized.topology).filter((layer) => "dOut" in layer && layer.dOut === 8)).toHaveLength(1);
    }
  });

  it("refuses a model whose width is the sum of others, which stay as they are", () => {
    const halves = tree({ type: "BranchingTopology", layers: [linear(d, d / 2), linear(d, d / 2)] }, linear(d, d), {
      type: "NestedTopology",
      repeat: 2,
      layers: [linear(d, d)],
    });
    expect(() => optimizeModel(halves, 1e6)).toThrow(
      /target_params: expected a model whose widths follow d_model; sizes other than 64 stay as they are, and so topology\./,
    );
  });
});
