import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, object, positiveInt } from "../schema.ts";
import { formatShape } from "../shape.ts";

/** Causal convolution over time, each feature by itself: y_t = b + sum_i w_i * x_(t - kernelSize + 1 + i). */
export interface Conv1dLayerConfig {
  type: "Conv1dLayer";
  dModel: number;
  kernelSize: number;
  bias: boolean;
}
export type Conv1dLayerInput = LayerFields<Conv1dLayerConfig, "dModel">;

export const conv1dLayerSpec: LayerSpec<Conv1dLayerConfig> = {
  type: "Conv1dLayer",
  schema: exactly<Conv1dLayerConfig>()(
    object({
      type: z.literal("Conv1dLayer"),
      d_model: positiveInt.describe("Width of input and output"),
      kernel_size: positiveInt.default(4).describe("Tokens that one output sees: itself and those before it"),
      bias: z.boolean().default(true).describe("Add a learned offset"),
    }),
  ),
  width: ({ dModel }) => ({ key: "d_model", value: dModel }),
  demands: (_, input) =>
    input.length === 3
      ? []
      : [{ path: [], message: `expected an input [B, T, d_model] to go along, found ${formatShape(input)}` }],
  resize: (config, to) => ({ ...config, dModel: follow(config.dModel, to) }),
  parameters: ({ dModel, kernelSize, bias }) => dModel * (kernelSize + (bias ? 1 : 0)),
  stateElements: ({ dModel, kernelSize }) => (kernelSize - 1) * dModel,
  words: ({ kernelSize }) => `kernel_size=${kernelSize}`,
};

export function conv1dLayerConfig(input: Conv1dLayerInput): Conv1dLayerConfig {
  return fromCode(conv1dLayerSpec.schema, "Conv1dLayer", { type: "Conv1dLayer", ...input });
}
