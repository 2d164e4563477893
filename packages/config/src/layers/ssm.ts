import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, nonNegative, object, positive, positiveInt } from "../schema.ts";
import { formatShape } from "../shape.ts";

/** Selective state space (Mamba): dInner = expand * dModel features, each with dState states that decay by what is read. */
export interface SSMLayerConfig {
  type: "SSMLayer";
  dModel: number;
  dState: number;
  dConv: number;
  expand: number;
  dtRank: number | "auto";
  dtMin: number;
  dtMax: number;
  dtInit: "random" | "constant";
  dtScale: number;
  dtInitFloor: number;
  bias: boolean;
  convBias: boolean;
}
export type SSMLayerInput = LayerFields<SSMLayerConfig, "dModel">;

/** Widths that follow from a config. */
export interface SSMGeometry {
  /** Features of the state space: expand * dModel. */
  dInner: number;
  /** Width through which the step sizes are made: dtRank, or ceil(dModel / 16). */
  dtRank: number;
}

export function ssmGeometry({ dModel, expand, dtRank }: SSMLayerConfig): SSMGeometry {
  return { dInner: expand * dModel, dtRank: dtRank === "auto" ? Math.ceil(dModel / 16) : dtRank };
}

export const ssmLayerSpec: LayerSpec<SSMLayerConfig> = {
  type: "SSMLayer",
  schema: exactly<SSMLayerConfig>()(
    object(
      {
        type: z.literal("SSMLayer"),
        d_model: positiveInt.describe("Width of input and output"),
        d_state: positiveInt.default(16).describe("States per inner feature"),
        d_conv: positiveInt.default(4).describe("Tokens that the convolution before the state space sees"),
        expand: positiveInt.default(2).describe("Inner features per feature of the model"),
        dt_rank: z
          .union([positiveInt, z.literal("auto")])
          .default("auto")
          .describe("Width through which step sizes are made; auto: d_model / 16, rounded up"),
        dt_min: positive.default(0.001).describe("Smallest initial step size"),
        dt_max: positive.default(0.1).describe("Largest initial step size"),
        dt_init: z
          .enum(["random", "constant"])
          .default("random")
          .describe("Initial weights of the step sizes: uniform, or all equal"),
        dt_scale: positive.default(1).describe("Factor on those weights, which are of size dt_rank^-0.5"),
        dt_init_floor: nonNegative.default(0.0001).describe("No initial step size is smaller"),
        bias: z.boolean().default(false).describe("Offsets in the first and last projection"),
        conv_bias: z.boolean().default(true).describe("Offset in the convolution"),
      },
      ({ dtMin, dtMax }) =>
        dtMin <= dtMax
          ? []
          : [{ path: ["dt_min"], message: `expected dt_min of at most dt_max = ${dtMax}, found ${dtMin}` }],
    ),
  ),
  width: ({ dModel }) => ({ key: "d_model", value: dModel }),
  demands: (_, input) =>
    input.length === 3
      ? []
      : [{ path: [], message: `expected an input [B, T, d_model] to go along, found ${formatShape(input)}` }],
  resize: (config, to) => ({ ...config, dModel: follow(config.dModel, to) }),
  parameters: (config) => {
    const { dModel, dState, dConv, bias, convBias } = config;
    const { dInner, dtRank } = ssmGeometry(config);
    const projections = 3 * dModel * dInner + (bias ? 2 * dInner + dModel : 0);
    const conv = dInner * (dConv + (convBias ? 1 : 0));
    const steps = dInner * (dtRank + 2 * dState) + (dtRank + 1) * dInner;
    return projections + conv + steps + dInner * (dState + 1);
  },
  stateElements: (config) => ssmGeometry(config).dInner * (config.dState + config.dConv - 1),
  words: ({ dState, dConv, expand }) => `d_state=${dState} d_conv=${dConv} expand=${expand}`,
};

export function ssmLayerConfig(input: SSMLayerInput): SSMLayerConfig {
  return fromCode(ssmLayerSpec.schema, "SSMLayer", { type: "SSMLayer", ...input });
}
