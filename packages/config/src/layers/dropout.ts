import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import type { LayerSpec } from "../layer-spec.ts";
import { exactly, object, probability } from "../schema.ts";

/** Zeroes features with probability p while training. */
export interface DropoutLayerConfig {
  type: "DropoutLayer";
  p: number;
}
export type DropoutLayerInput = LayerFields<DropoutLayerConfig, never>;

export const dropoutLayerSpec: LayerSpec<DropoutLayerConfig> = {
  type: "DropoutLayer",
  schema: exactly<DropoutLayerConfig>()(
    object({
      type: z.literal("DropoutLayer"),
      p: probability.default(0).describe("Probability of zeroing a feature while training"),
    }),
  ),
  width: () => null,
  resize: (config) => config,
  parameters: () => 0,
  words: ({ p }) => `p=${p}`,
};

export function dropoutLayerConfig(input: DropoutLayerInput = {}): DropoutLayerConfig {
  return fromCode(dropoutLayerSpec.schema, "DropoutLayer", { type: "DropoutLayer", ...input });
}
