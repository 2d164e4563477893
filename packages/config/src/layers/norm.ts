import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, object, positive, positiveInt } from "../schema.ts";

/** Layer normalisation over the last axis, with weight and bias. */
export interface LayerNormLayerConfig {
  type: "LayerNormLayer";
  dModel: number;
  eps: number;
}
export type LayerNormLayerInput = LayerFields<LayerNormLayerConfig, "dModel">;

/** x / rms(x) * w over the last axis (w only when elementwiseAffine). */
export interface RMSNormLayerConfig {
  type: "RMSNormLayer";
  dModel: number;
  eps: number;
  elementwiseAffine: boolean;
}
export type RMSNormLayerInput = LayerFields<RMSNormLayerConfig, "dModel">;

const dModel = positiveInt.describe("Width of input and output");
const eps = positive.default(1e-5).describe("Added to the variance before the square root");

export const layerNormLayerSpec: LayerSpec<LayerNormLayerConfig> = {
  type: "LayerNormLayer",
  schema: exactly<LayerNormLayerConfig>()(object({ type: z.literal("LayerNormLayer"), d_model: dModel, eps })),
  width: (config) => ({ key: "d_model", value: config.dModel }),
  resize: (config, to) => ({ ...config, dModel: follow(config.dModel, to) }),
  parameters: (config) => 2 * config.dModel,
};

export const rmsNormLayerSpec: LayerSpec<RMSNormLayerConfig> = {
  type: "RMSNormLayer",
  schema: exactly<RMSNormLayerConfig>()(
    object({
      type: z.literal("RMSNormLayer"),
      d_model: dModel,
      eps,
      elementwise_affine: z.boolean().default(true).describe("Multiply by a learned weight"),
    }),
  ),
  width: (config) => ({ key: "d_model", value: config.dModel }),
  resize: (config, to) => ({ ...config, dModel: follow(config.dModel, to) }),
  parameters: (config) => (config.elementwiseAffine ? config.dModel : 0),
};

export function layerNormLayerConfig(input: LayerNormLayerInput): LayerNormLayerConfig {
  return fromCode(layerNormLayerSpec.schema, "LayerNormLayer", { type: "LayerNormLayer", ...input });
}

export function rmsNormLayerConfig(input: RMSNormLayerInput): RMSNormLayerConfig {
  return fromCode(rmsNormLayerSpec.schema, "RMSNormLayer", { type: "RMSNormLayer", ...input });
}
