import { z } from "zod";
import { type Activation, activation } from "../activation.ts";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, object, positiveInt, probability } from "../schema.ts";

/** dropout(activation(norm(x W + b))), from width dIn to dOut; norm and activation only where given. */
export interface DenseLayerConfig {
  type: "DenseLayer";
  dIn: number;
  dOut: number;
  bias: boolean;
  normalization: "layer_norm" | "rms_norm" | null;
  activation: Activation | null;
  dropout: number;
}
export type DenseLayerInput = LayerFields<DenseLayerConfig, "dIn" | "dOut">;

/** Numbers of a norm's weights. */
const normWeights = { layer_norm: 2, rms_norm: 1 } as const;

export const denseLayerSpec: LayerSpec<DenseLayerConfig> = {
  type: "DenseLayer",
  schema: exactly<DenseLayerConfig>()(
    object({
      type: z.literal("DenseLayer"),
      d_in: positiveInt.describe("Input width"),
      d_out: positiveInt.describe("Output width"),
      bias: z.boolean().default(true).describe("Add a learned offset"),
      normalization: z
        .enum(["layer_norm", "rms_norm"])
        .nullable()
        .default(null)
        .describe("Norm of the product, before the activation; null: none"),
      activation: activation.nullable().default(null).describe("Elementwise function of the result; null: none"),
      dropout: probability.default(0).describe("Probability of zeroing a feature of the result while training"),
    }),
  ),
  width: ({ dIn }) => ({ key: "d_in", value: dIn }),
  output: ({ dOut }, input) => [...input.slice(0, -1), dOut],
  resize: (config, to) => ({ ...config, dIn: follow(config.dIn, to), dOut: follow(config.dOut, to) }),
  parameters: ({ dIn, dOut, bias, normalization }) =>
    dOut * (dIn + (bias ? 1 : 0) + (normalization ? normWeights[normalization] : 0)),
  words: ({ normalization, activation: f, dropout }) =>
    [normalization && `normalization=${normalization}`, f && `activation=${f}`, dropout > 0 && `dropout=${dropout}`]
      .filter(Boolean)
      .join(" "),
};

export function denseLayerConfig(input: DenseLayerInput): DenseLayerConfig {
  return fromCode(denseLayerSpec.schema, "DenseLayer", { type: "DenseLayer", ...input });
}
