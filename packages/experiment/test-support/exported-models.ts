// For tests: two models of which no part fits the other.
import { buildModel, type Model } from "@caramba/model";

function llama(dModel: number): Model {
  const norm = { type: "RMSNormLayer", dModel } as const;
  return buildModel(
    {
      embedder: { type: "token", vocabSize: 257, dModel },
      tiedEmbeddings: true,
      topology: {
        type: "StackedTopology",
        layers: [
          { type: "ResidualTopology", layers: [norm, { type: "AttentionLayer", dModel, nHeads: 4 }] },
          { type: "ResidualTopology", layers: [norm, { type: "SwiGLULayer", dModel, dFf: 2 * dModel, bias: false }] },
          norm,
        ],
      },
    },
    { seed: 1 },
  );
}

/** Llamas over bytes, 64 and 32 wide. */
export function exportedModels(): { wide: Model; narrow: Model } {
  return { wide: llama(64), narrow: llama(32) };
}
