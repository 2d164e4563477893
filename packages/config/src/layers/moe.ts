import { z } from "zod";
import { fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec } from "../layer-spec.ts";
import { exactly, nonNegative, object, positiveInt } from "../schema.ts";

/** Mixture of SwiGLU experts: each token goes through topK of numExperts, weighed by a softmax router. */
export interface MoELayerConfig {
  type: "MoELayer";
  dModel: number;
  dFf: number;
  numExperts: number;
  topK: number;
  bias: boolean;
  routerRequiresGrad: boolean;
  expertsRequiresGrad: boolean;
  loadBalancingWeight: number;
}
export type MoELayerInput = LayerFields<MoELayerConfig, "dModel" | "dFf">;

export const moeLayerSpec: LayerSpec<MoELayerConfig> = {
  type: "MoELayer",
  schema: exactly<MoELayerConfig>()(
    object(
      {
        type: z.literal("MoELayer"),
        d_model: positiveInt.describe("Width of input and output"),
        d_ff: positiveInt.describe("Inner width of one expert"),
        num_experts: positiveInt.default(8).describe("Experts"),
        top_k: positiveInt.default(2).describe("Experts that a token goes through"),
        bias: z.boolean().default(true).describe("Bias on the three projections of every expert"),
        router_requires_grad: z.boolean().default(true).describe("Train the router"),
        experts_requires_grad: z.boolean().default(true).describe("Train the experts"),
        load_balancing_weight: nonNegative
          .default(0.01)
          .describe("Weight in the training loss of the load-balancing term, which is 1 when balanced; 0: none"),
      },
      ({ topK, numExperts }) =>
        topK <= numExperts
          ? []
          : [{ path: ["top_k"], message: `expected at most num_experts (${numExperts}), found ${topK}` }],
    ),
  ),
  width: ({ dModel }) => ({ key: "d_model", value: dModel }),
  resize: (config, to) => ({ ...config, dModel: follow(config.dModel, to), dFf: to.dFf }),
  parameters: (config) =>
    (config.routerRequiresGrad ? inRouter(config) : 0) + (config.expertsRequiresGrad ? inExperts(config) : 0),
  frozen: (config) =>
    (config.routerRequiresGrad ? 0 : inRouter(config)) + (config.expertsRequiresGrad ? 0 : inExperts(config)),
  words: ({ dFf, numExperts, topK }) => `d_ff=${dFf} experts=${topK}/${numExperts}`,
};

export function moeLayerConfig(input: MoELayerInput): MoELayerConfig {
  return fromCode(moeLayerSpec.schema, "MoELayer", { type: "MoELayer", ...input });
}

function inRouter({ dModel, numExperts }: MoELayerConfig): number {
  return dModel * numExperts;
}

function inExperts({ dModel, dFf, numExperts, bias }: MoELayerConfig): number {
  return numExperts * (3 * dModel * dFf + (bias ? 2 * dFf + dModel : 0));
}
