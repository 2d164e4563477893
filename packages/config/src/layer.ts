/**
 * The layers a topology is made of. Each is an interface (what code holds, every default filled in) and a schema in
 * manifest spelling; `layerConfigSchema` is their union. A new layer is one interface, one schema, one entry there.
 */
import { z } from "zod";
import { type AttentionLayerConfig, attentionLayerSchema } from "./attention.ts";
import { exactly, object, positive, positiveInt, probability, variants } from "./schema.ts";

/** y = x W^T + b, from width dIn to dOut. */
export interface LinearLayerConfig {
  type: "LinearLayer";
  dIn: number;
  dOut: number;
  bias: boolean;
}

/** Layer normalisation over the last axis, with weight and bias. */
export interface LayerNormLayerConfig {
  type: "LayerNormLayer";
  dModel: number;
  eps: number;
}

/** x / rms(x) * w over the last axis (w only when elementwiseAffine). */
export interface RMSNormLayerConfig {
  type: "RMSNormLayer";
  dModel: number;
  eps: number;
  elementwiseAffine: boolean;
}

/** Zeroes features with probability p while training. */
export interface DropoutLayerConfig {
  type: "DropoutLayer";
  p: number;
}

/** down(silu(gate(x)) * up(x)); gate and up are one matrix of 2 dFf rows, gate rows first. */
export interface SwiGLULayerConfig {
  type: "SwiGLULayer";
  dModel: number;
  dFf: number;
  bias: boolean;
}

export type LayerConfig =
  | LinearLayerConfig
  | LayerNormLayerConfig
  | RMSNormLayerConfig
  | DropoutLayerConfig
  | SwiGLULayerConfig
  | AttentionLayerConfig;

/** The names a manifest may write as a layer's `type`. */
export type LayerType = LayerConfig["type"];

const dModel = positiveInt.describe("Width of input and output");
const eps = positive.default(1e-5).describe("Added to the variance before the square root");

export const linearLayerSchema: z.ZodType<LinearLayerConfig> = exactly<LinearLayerConfig>()(
  object({
    type: z.literal("LinearLayer"),
    d_in: positiveInt.describe("Input width"),
    d_out: positiveInt.describe("Output width"),
    bias: z.boolean().default(true).describe("Add a learned offset"),
  }),
);

export const layerNormLayerSchema: z.ZodType<LayerNormLayerConfig> = exactly<LayerNormLayerConfig>()(
  object({ type: z.literal("LayerNormLayer"), d_model: dModel, eps }),
);

export const rmsNormLayerSchema: z.ZodType<RMSNormLayerConfig> = exactly<RMSNormLayerConfig>()(
  object({
    type: z.literal("RMSNormLayer"),
    d_model: dModel,
    eps,
    elementwise_affine: z.boolean().default(true).describe("Multiply by a learned weight"),
  }),
);

export const dropoutLayerSchema: z.ZodType<DropoutLayerConfig> = exactly<DropoutLayerConfig>()(
  object({
    type: z.literal("DropoutLayer"),
    p: probability.default(0).describe("Probability of zeroing a feature while training"),
  }),
);

export const swigluLayerSchema: z.ZodType<SwiGLULayerConfig> = exactly<SwiGLULayerConfig>()(
  object({
    type: z.literal("SwiGLULayer"),
    d_model: dModel,
    d_ff: positiveInt.describe("Inner width"),
    bias: z.boolean().default(true).describe("Bias on all three projections"),
  }),
);

/** Every layer schema; also the order in which valid names are listed. */
export const layerSchemas: readonly z.ZodType<LayerConfig>[] = [
  linearLayerSchema,
  layerNormLayerSchema,
  rmsNormLayerSchema,
  dropoutLayerSchema,
  swigluLayerSchema,
  attentionLayerSchema,
];

/** Any layer. */
export const layerConfigSchema: z.ZodType<LayerConfig> = variants("type", layerSchemas);
