/** A model: embedder, topology, head rule. `modelSchema` also runs shape inference, so a parsed model fits together. */
import { z } from "zod";
import { type InitializationConfig, initializationSchema } from "./initialization.ts";
import {
  exactly,
  nonNegative,
  object,
  positive,
  positiveInt,
  probability,
  type RuleIssue,
  variants,
} from "./schema.ts";
import { shapeRules } from "./shapes.ts";
import { type TopologyConfig, topologySchema } from "./topology.ts";
import { loweredSize } from "./tree.ts";

/** No embedder: the model is fed features. */
export interface NoneEmbedderConfig {
  type: "none";
}

/** Token ids [B, T] to features [B, T, dModel] by table lookup. */
export interface TokenEmbedderConfig {
  type: "token";
  vocabSize: number;
  dModel: number;
}

export type EmbedderConfig = NoneEmbedderConfig | TokenEmbedderConfig;

/** Optional diffusion head over next-token embeddings (disabled unless asked for). */
export interface DiffusionHeadConfig {
  enabled: boolean;
  numTrainTimesteps: number;
  numInferSteps: number;
  timeEmbedDim: number;
  mlpMult: number;
  cfgDropoutP: number;
  cfgGuidanceScale: number;
  scheduler: "ddim" | "ddpm" | "dpm";
  lossWeight: number;
}

export interface ModelConfig {
  type: "TransformerModel" | "GPTModel" | "ViTModel" | "MLPModel";
  embedder: EmbedderConfig;
  topology: TopologyConfig;
  diffusionHead: DiffusionHeadConfig;
  /** Logits by the embedding matrix, unless the topology already ends at vocabSize. */
  tiedEmbeddings: boolean;
  /** How weights begin, where no checkpoint gives them. */
  initialization: InitializationConfig;
  targetParams: number | null;
  /** Longest context in tokens; null: not limited by the model. */
  blockSize: number | null;
}

/** More nodes than this after lowering are taken for a mistake (a repeat inside a repeat). */
export const maxLoweredNodes = 1_000_000;

export const embedderSchema: z.ZodType<EmbedderConfig> = variants("type", [
  exactly<NoneEmbedderConfig>()(object({ type: z.literal("none") })),
  exactly<TokenEmbedderConfig>()(
    object({
      type: z.literal("token"),
      vocab_size: positiveInt.describe("Number of token ids"),
      d_model: positiveInt.describe("Width of an embedding"),
    }),
  ),
]);

const diffusionHead = exactly<DiffusionHeadConfig>()(
  object({
    enabled: z.boolean().default(false).describe("Train a diffusion head beside the logits"),
    num_train_timesteps: positiveInt.default(1000).describe("Noise levels while training"),
    num_infer_steps: positiveInt.default(12).describe("Denoising steps while generating"),
    time_embed_dim: positiveInt.default(128).describe("Width of the time embedding"),
    mlp_mult: positiveInt.default(4).describe("Inner width of the denoiser in multiples of d_model"),
    cfg_dropout_p: probability.default(0.1).describe("Share of samples trained without condition"),
    cfg_guidance_scale: nonNegative.default(1.5).describe("Weight of classifier-free guidance"),
    scheduler: z.enum(["ddim", "ddpm", "dpm"]).default("ddim").describe("Noise schedule"),
    loss_weight: nonNegative.default(0.1).describe("Weight of its loss in training"),
  }),
);

export const modelSchema: z.ZodType<ModelConfig> = exactly<ModelConfig>()(
  object(
    {
      type: z
        .enum(["TransformerModel", "GPTModel", "ViTModel", "MLPModel"])
        .default("TransformerModel")
        .describe("Kind of model"),
      embedder: embedderSchema.prefault({ type: "none" }).describe("How inputs become features; default none"),
      topology: topologySchema.describe("The graph of layers"),
      diffusion_head: diffusionHead.prefault({}).describe("Optional diffusion head; default disabled"),
      tied_embeddings: z
        .boolean()
        .default(true)
        .describe("Logits from the embedding matrix; false: the topology ends in a head"),
      initialization: initializationSchema
        .prefault({ scheme: "default" })
        .describe("How weights begin; default each layer's own scheme"),
      target_params: positive.nullable().default(null).describe("Parameter budget for automatic sizing"),
      block_size: positiveInt.nullable().default(null).describe("Longest context in tokens"),
    },
    modelRules,
  ),
);

/** What is wrong with a model whose layers are valid by themselves: its size, and shapes that do not fit. */
export function modelRules(model: ModelConfig): RuleIssue[] {
  const size = loweredSize(model.topology);
  if (size > maxLoweredNodes) {
    const message = `expected at most ${maxLoweredNodes} nodes after repeat is expanded, found ${size}`;
    return [{ path: ["topology"], message }];
  }
  return shapeRules(model);
}
