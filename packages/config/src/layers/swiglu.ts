import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, object, positiveInt } from "../schema.ts";

/** down(silu(gate(x)) * up(x)) through an inner width dFf. */
export interface SwiGLULayerConfig {
  type: "SwiGLULayer";
  dModel: number;
  dFf: number;
  bias: boolean;
}
export type SwiGLULayerInput = LayerFields<SwiGLULayerConfig, "dModel" | "dFf">;

export const swigluLayerSpec: LayerSpec<SwiGLULayerConfig> = {
  type: "SwiGLULayer",
  schema: exactly<SwiGLULayerConfig>()(
    object({
      type: z.literal("SwiGLULayer"),
      d_model: positiveInt.describe("Width of input and output"),
      d_ff: positiveInt.describe("Inner width"),
      bias: z.boolean().default(true).describe("Bias on all three projections"),
    }),
  ),
  width: ({ dModel }) => ({ key: "d_model", value: dModel }),
  resize: (config, to) => ({ ...config, dModel: follow(config.dModel, to), dFf: to.dFf }),
  parameters: ({ dModel, dFf, bias }) => 3 * dModel * dFf + (bias ? 2 * dFf + dModel : 0),
  words: ({ dFf }) => `d_ff=${dFf}`,
};

export function swigluLayerConfig(input: SwiGLULayerInput): SwiGLULayerConfig {
  return fromCode(swigluLayerSpec.schema, "SwiGLULayer", { type: "SwiGLULayer", ...input });
}
