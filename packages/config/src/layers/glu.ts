import { z } from "zod";
import { type Activation, gateActivation } from "../activation.ts";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, object, positiveInt } from "../schema.ts";

/** down(activation(gate(x)) * up(x)) through an inner width dFf. */
export interface GLULayerConfig {
  type: "GLULayer";
  dModel: number;
  dFf: number;
  activation: Activation;
  bias: boolean;
}
export type GLULayerInput = Omit<LayerFields<GLULayerConfig, "dModel" | "dFf">, "activation"> & {
  activation?: Activation | "swiglu" | "geglu" | "reglu" | "glu" | undefined;
};

export const gluLayerSpec: LayerSpec<GLULayerConfig> = {
  type: "GLULayer",
  schema: exactly<GLULayerConfig>()(
    object({
      type: z.literal("GLULayer"),
      d_model: positiveInt.describe("Width of input and output"),
      d_ff: positiveInt.describe("Inner width"),
      activation: gateActivation
        .default("silu")
        .describe("Function of the gate; swiglu is silu, geglu is gelu, reglu is relu, glu is sigmoid"),
      bias: z.boolean().default(true).describe("Bias on all three projections"),
    }),
  ),
  width: ({ dModel }) => ({ key: "d_model", value: dModel }),
  resize: (config, to) => ({ ...config, dModel: follow(config.dModel, to), dFf: to.dFf }),
  parameters: ({ dModel, dFf, bias }) => 3 * dModel * dFf + (bias ? 2 * dFf + dModel : 0),
  words: ({ dFf, activation }) => `d_ff=${dFf} activation=${activation}`,
};

export function gluLayerConfig(input: GLULayerInput): GLULayerConfig {
  return fromCode(gluLayerSpec.schema, "GLULayer", { type: "GLULayer", ...input });
}
