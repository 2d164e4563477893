/** The one-call model is the tree that the presets write out. */
import { describe, expect, it } from "vitest";
import { modelConfig } from "./from-code.ts";
import { llamaModel } from "./llama-model.ts";
import { parseManifestOrThrow } from "./parse.ts";
import { presets } from "./presets/index.ts";

const decoupled = { mode: "decoupled", nHeads: 4, semDim: 16, geoDim: 32, attnDim: 64 } as const;

describe("llamaModel", () => {
  it("is the model of the preset tiny_decoupled", () => {
    const { plan } = parseManifestOrThrow(presets["tiny_decoupled"] ?? "");
    const written = llamaModel({ vocabSize: 257, dModel: 128, layers: 2, attention: decoupled, feedForward: 256 });
    expect(modelConfig(written)).toEqual(plan.targets[0]?.model);
  });

  it("ends in a head of its own unless tied, and takes other layers for its feed-forward, or none", () => {
    const sizes = {
      vocabSize: 11,
      dModel: 8,
      layers: 3,
      attention: { nHeads: 2 },
      tiedEmbeddings: false,
      blockSize: 64,
    };
    const model = modelConfig(llamaModel({ ...sizes, feedForward: [] }));
    expect(model).toMatchObject({ tiedEmbeddings: false, blockSize: 64 });
    expect(model.topology).toMatchObject({
      layers: [
        {
          repeat: 3,
          layers: [{ layers: [{ type: "RMSNormLayer" }, { type: "AttentionLayer", dModel: 8, nHeads: 2 }] }],
        },
        { type: "RMSNormLayer" },
        { type: "LinearLayer", dIn: 8, dOut: 11, bias: false },
      ],
    });
    const experts = modelConfig(llamaModel({ ...sizes, feedForward: [{ type: "DropoutLayer", p: 0.5 }] }));
    expect(experts.topology).toMatchObject({
      layers: [{ layers: [{}, { layers: [{ type: "RMSNormLayer" }, { type: "DropoutLayer" }] }] }, {}, {}],
    });
  });
});
