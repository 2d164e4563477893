/**
 * The model that most experiments vary, in one call: a decoder of pre-norm residual blocks after Llama (Touvron et
 * al., 2023, arXiv:2302.13971). What it returns is plain data, the same tree that a manifest's `model:` section holds.
 */
import type { ModelInput, NodeInput } from "./from-code.ts";
import type { AttentionLayerInput } from "./layers/attention.ts";

/** What sets one model of this family apart from another. */
export interface LlamaModelInput {
  vocabSize: number;
  /** Width of the stream between blocks. */
  dModel: number;
  /** Number of blocks. */
  layers: number;
  /** Everything about attention but the width of the model. */
  attention: Omit<AttentionLayerInput, "dModel" | "type">;
  /** Inner width of a SwiGLU without biases, or the layers of the second residual; an empty list leaves it out. */
  feedForward: number | readonly NodeInput[];
  /** Logits from the embedding matrix; false: a LinearLayer of its own. Default true. */
  tiedEmbeddings?: boolean | undefined;
  /** Longest context in tokens; default unlimited. */
  blockSize?: number | undefined;
}

/**
 * Stacked[ Nested[ Residual[RMSNorm, Attention], Residual[RMSNorm, SwiGLU] ] x layers, RMSNorm, Linear head unless tied ].
 *
 *     buildModel(llamaModel({ vocabSize: 256, dModel: 64, layers: 2, attention: { nHeads: 4 }, feedForward: 160 }))
 */
export function llamaModel(input: LlamaModelInput): Omit<ModelInput, "type"> {
  const { vocabSize, dModel, layers, attention, feedForward, tiedEmbeddings = true, blockSize } = input;
  const norm: NodeInput = { type: "RMSNormLayer", dModel };
  const inner: readonly NodeInput[] =
    typeof feedForward === "number" ? [{ type: "SwiGLULayer", dModel, dFf: feedForward, bias: false }] : feedForward;
  const block: NodeInput[] = [
    { type: "ResidualTopology", layers: [norm, { type: "AttentionLayer", dModel, ...attention }] },
  ];
  if (inner.length > 0) block.push({ type: "ResidualTopology", layers: [norm, ...inner] });
  const head: NodeInput[] = tiedEmbeddings ? [] : [{ type: "LinearLayer", dIn: dModel, dOut: vocabSize, bias: false }];
  return {
    embedder: { type: "token", vocabSize, dModel },
    tiedEmbeddings,
    ...(blockSize === undefined ? {} : { blockSize }),
    topology: {
      type: "StackedTopology",
      layers: [{ type: "NestedTopology", repeat: layers, layers: block }, norm, ...head],
    },
  };
}
