import { describe, expect, it } from "vitest";
import { defineManifest, type ManifestInput } from "./define-manifest.ts";
import { ConfigError } from "./error.ts";
import { llamaModel } from "./llama-model.ts";
import { parseManifestOrThrow } from "./parse.ts";
import { presets } from "./presets/index.ts";

/** The preset tiny_decoupled, written in TypeScript. */
const input: ManifestInput = {
  name: "tiny_decoupled",
  defaults: { tokenizer: "byte", valFrac: 0.1, evalIters: 50, saveEvery: 500 },
  targets: [
    {
      name: "train",
      data: { path: "tokens.npy", blockSize: 128 },
      model: llamaModel({
        ...{ vocabSize: 257, dModel: 128, layers: 2, feedForward: 256 },
        attention: { nHeads: 4, mode: "decoupled", semDim: 16, geoDim: 32, attnDim: 64 },
      }),
      trainer: { type: "standard" },
      runs: [
        {
          id: "train",
          seed: 1337,
          steps: 300,
          expected: { phase: "standard", attn_mode: "decoupled" },
          train: {
            phase: "standard",
            batchSize: 8,
            blockSize: 128,
            lr: 1e-3,
            scheduler: "cosine",
            warmupSteps: 20,
            minLrRatio: 0.1,
            weightDecay: 0.01,
            gradClipNorm: 1,
          },
        },
      ],
      benchmarks: [
        { id: "perplexity", config: { type: "perplexity", blockSize: 128, numBatches: 100 }, models: ["student"] },
      ],
    },
  ],
};

function failure(changed: ManifestInput): ConfigError {
  try {
    defineManifest(changed);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("expected a ConfigError");
}

describe("defineManifest", () => {
  it("gives the plan of the same manifest in YAML", () => {
    expect(defineManifest(input)).toEqual(parseManifestOrThrow(presets["tiny_decoupled"] ?? "").plan);
  });

  it("keeps the spelling of expected keys and passes comparisons on", () => {
    const [target] = input.targets;
    if (target === undefined) throw new Error("no target");
    const compare = { type: "checkpoint_compare", teacherCkpt: "a", studentCkpt: "b" } as const;
    const plan = defineManifest({
      targets: [{ ...target, runs: [], trainer: compare }],
      entrypoints: { main_one: "train" },
    });
    expect(plan.targets[0]?.trainer).toEqual(compare);
    expect(plan.entrypoints).toEqual({ main_one: "train" });
  });

  it("reports mistakes in the shape and spelling of the input", () => {
    const [target] = input.targets;
    if (target === undefined) throw new Error("no target");
    const wide = {
      ...target,
      model: { ...target.model, embedder: { type: "token", vocabSize: 256, dModel: 64 } as const },
    };
    expect(failure({ targets: [wide] }).message).toContain(
      "targets[0].model.topology.layers[0].layers[0].layers[0].dModel: expected dModel 64",
    );
    const bare = { ...target, data: { blockSize: 128 } };
    expect(failure({ targets: [bare] }).message).toContain(
      "targets[0].data: expected path, or both dataset and tokens",
    );
    const named = { ...target, name: "my_target" };
    expect(failure({ targets: [named, named] }).message).toContain('found "my_target" a second time');
    expect(failure({ targets: [target, target] }).message).toContain("targets[1].name: expected each target name once");
  });
});
