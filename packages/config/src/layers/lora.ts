import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, object, positive, positiveInt, probability } from "../schema.ts";
import type { LinearLayerConfig } from "./linear.ts";

/** y = x W + b + alpha / r * dropout(x) A B, from width dIn to dOut through rank r. */
export interface LoRALinearLayerConfig {
  type: "LoRALinearLayer";
  dIn: number;
  dOut: number;
  r: number;
  alpha: number;
  dropout: number;
  bias: boolean;
  freezeBase: boolean;
}
export type LoRALinearLayerInput = LayerFields<LoRALinearLayerConfig, "dIn" | "dOut">;

export const loraLinearLayerSpec: LayerSpec<LoRALinearLayerConfig> = {
  type: "LoRALinearLayer",
  schema: exactly<LoRALinearLayerConfig>()(
    object({
      type: z.literal("LoRALinearLayer"),
      d_in: positiveInt.describe("Input width"),
      d_out: positiveInt.describe("Output width"),
      r: positiveInt.default(8).describe("Rank of the update (also written rank)"),
      alpha: positive.default(16).describe("The update is scaled by alpha / r"),
      dropout: probability.default(0).describe("Probability of zeroing an input of the update while training"),
      bias: z.boolean().default(true).describe("Add an offset; it belongs to the base"),
      freeze_base: z.boolean().default(true).describe("Train the update alone; weight and offset stay as loaded"),
    }),
  ),
  width: ({ dIn }) => ({ key: "d_in", value: dIn }),
  output: ({ dOut }, input) => [...input.slice(0, -1), dOut],
  resize: (config, to) => ({ ...config, dIn: follow(config.dIn, to), dOut: follow(config.dOut, to) }),
  parameters: ({ dIn, dOut, r, bias, freezeBase }) =>
    r * (dIn + dOut) + (freezeBase ? 0 : dOut * (dIn + (bias ? 1 : 0))),
  frozen: ({ dIn, dOut, bias, freezeBase }) => (freezeBase ? dOut * (dIn + (bias ? 1 : 0)) : 0),
  words: ({ r, alpha, freezeBase }) => `r=${r} alpha=${alpha}${freezeBase ? "" : " freeze_base=false"}`,
};

export function loraLinearLayerConfig(input: LoRALinearLayerInput): LoRALinearLayerConfig {
  return fromCode(loraLinearLayerSpec.schema, "LoRALinearLayer", { type: "LoRALinearLayer", ...input });
}

/** The LinearLayer that a LoRALinearLayer is once its update is merged into the weight. */
export function mergedLoraConfig({ dIn, dOut, bias }: LoRALinearLayerConfig): LinearLayerConfig {
  return { type: "LinearLayer", dIn, dOut, bias };
}
