import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, object, positiveInt } from "../schema.ts";

/** y = x W + b, from width dIn to dOut. */
export interface LinearLayerConfig {
  type: "LinearLayer";
  dIn: number;
  dOut: number;
  bias: boolean;
}
export type LinearLayerInput = LayerFields<LinearLayerConfig, "dIn" | "dOut">;

export const linearLayerSpec: LayerSpec<LinearLayerConfig> = {
  type: "LinearLayer",
  schema: exactly<LinearLayerConfig>()(
    object({
      type: z.literal("LinearLayer"),
      d_in: positiveInt.describe("Input width"),
      d_out: positiveInt.describe("Output width"),
      bias: z.boolean().default(true).describe("Add a learned offset"),
    }),
  ),
  width: ({ dIn }) => ({ key: "d_in", value: dIn }),
  output: ({ dOut }, input) => [...input.slice(0, -1), dOut],
  resize: (config, to) => ({ ...config, dIn: follow(config.dIn, to), dOut: follow(config.dOut, to) }),
  parameters: ({ dIn, dOut, bias }) => dOut * (dIn + (bias ? 1 : 0)),
};

export function linearLayerConfig(input: LinearLayerInput): LinearLayerConfig {
  return fromCode(linearLayerSpec.schema, "LinearLayer", { type: "LinearLayer", ...input });
}
