// The model that the examples share: a Llama, whose attention may be exchanged. A model is a tree of plain objects;
// the same tree in YAML is a manifest's `model:` section.
import type { AttentionLayerInput, ModelInput } from "@caramba/config";

/** What sets one model of this family apart from another. */
export interface LlamaSizes {
  readonly vocabSize: number;
  readonly dModel: number;
  readonly dFf: number;
  readonly layers: number;
  /** Everything about attention but the width of the model. */
  readonly attention: Omit<AttentionLayerInput, "dModel" | "type">;
}

/** Embedding, then blocks of two residuals (attention, SwiGLU), a last norm, and the embedding again as the head. */
export function tinyLlama({ vocabSize, dModel, dFf, layers, attention }: LlamaSizes): Omit<ModelInput, "type"> {
  return {
    embedder: { type: "token", vocabSize, dModel },
    tiedEmbeddings: true,
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
                { type: "RMSNormLayer", dModel },
                { type: "AttentionLayer", dModel, ...attention },
              ],
            },
            {
              type: "ResidualTopology",
              layers: [
                { type: "RMSNormLayer", dModel },
                { type: "SwiGLULayer", dModel, dFf, bias: false },
              ],
            },
          ],
        },
        { type: "RMSNormLayer", dModel },
      ],
    },
  };
}
