/**
 * The layers a topology is made of. Each has one file in layers/: its config (what code holds, every default filled
 * in), its schema in manifest spelling and its LayerSpec. A new layer is one file there and one line here.
 */
import type { z } from "zod";
import type { AttentionLayerConfig } from "./attention.ts";
import { ConfigError } from "./error.ts";
import type { LayerSpec } from "./layer-spec.ts";
import { type AttentionLayerInput, attentionLayerSpec } from "./layers/attention.ts";
import { type Conv1dLayerConfig, type Conv1dLayerInput, conv1dLayerSpec } from "./layers/conv1d.ts";
import { type Conv2dLayerConfig, type Conv2dLayerInput, conv2dLayerSpec } from "./layers/conv2d.ts";
import { type DenseLayerConfig, type DenseLayerInput, denseLayerSpec } from "./layers/dense.ts";
import { type DropoutLayerConfig, type DropoutLayerInput, dropoutLayerSpec } from "./layers/dropout.ts";
import { type GLULayerConfig, type GLULayerInput, gluLayerSpec } from "./layers/glu.ts";
import { type LinearLayerConfig, type LinearLayerInput, linearLayerSpec } from "./layers/linear.ts";
import { type LoRALinearLayerConfig, type LoRALinearLayerInput, loraLinearLayerSpec } from "./layers/lora.ts";
import { type MoELayerConfig, type MoELayerInput, moeLayerSpec } from "./layers/moe.ts";
import {
  type LayerNormLayerConfig,
  type LayerNormLayerInput,
  layerNormLayerSpec,
  type RMSNormLayerConfig,
  type RMSNormLayerInput,
  rmsNormLayerSpec,
} from "./layers/norm.ts";
import { type RNNLayerConfig, type RNNLayerInput, rnnLayerSpec } from "./layers/rnn.ts";
import { type SSMLayerConfig, type SSMLayerInput, ssmLayerSpec } from "./layers/ssm.ts";
import { type SwiGLULayerConfig, type SwiGLULayerInput, swigluLayerSpec } from "./layers/swiglu.ts";
import { growing, variants } from "./schema.ts";
import { type UserLayerConfig, type UserLayerType, userLayerSpec, userLayerSpecs } from "./user-layer.ts";

/** Layers of these packages. */
export type OwnLayerConfig =
  | LinearLayerConfig
  | LayerNormLayerConfig
  | RMSNormLayerConfig
  | DropoutLayerConfig
  | SwiGLULayerConfig
  | GLULayerConfig
  | DenseLayerConfig
  | LoRALinearLayerConfig
  | MoELayerConfig
  | Conv1dLayerConfig
  | Conv2dLayerConfig
  | SSMLayerConfig
  | RNNLayerConfig
  | AttentionLayerConfig;

/** Any layer, one from outside these packages included. */
export type LayerConfig = OwnLayerConfig | UserLayerConfig;

/** A layer inside a topology: `type` is what tells layers apart, so it is required here. */
export type LayerInput =
  | (LinearLayerInput & { type: "LinearLayer" })
  | (LayerNormLayerInput & { type: "LayerNormLayer" })
  | (RMSNormLayerInput & { type: "RMSNormLayer" })
  | (DropoutLayerInput & { type: "DropoutLayer" })
  | (SwiGLULayerInput & { type: "SwiGLULayer" })
  | (GLULayerInput & { type: "GLULayer" })
  | (DenseLayerInput & { type: "DenseLayer" })
  | (LoRALinearLayerInput & { type: "LoRALinearLayer" })
  | (MoELayerInput & { type: "MoELayer" })
  | (Conv1dLayerInput & { type: "Conv1dLayer" })
  | (Conv2dLayerInput & { type: "Conv2dLayer" })
  | (SSMLayerInput & { type: "SSMLayer" })
  | (RNNLayerInput & { type: "RNNLayer" })
  | (AttentionLayerInput & { type: "AttentionLayer" })
  | { type: UserLayerType; [key: string]: unknown };

/** The names a manifest may write as a layer's `type`. */
export type LayerType = LayerConfig["type"];

/** Every layer's spec by type; the order in which valid names are listed. */
const layerSpecs: { readonly [T in OwnLayerConfig["type"]]: LayerSpec<Extract<OwnLayerConfig, { type: T }>> } = {
  LinearLayer: linearLayerSpec,
  LayerNormLayer: layerNormLayerSpec,
  RMSNormLayer: rmsNormLayerSpec,
  DropoutLayer: dropoutLayerSpec,
  SwiGLULayer: swigluLayerSpec,
  GLULayer: gluLayerSpec,
  DenseLayer: denseLayerSpec,
  LoRALinearLayer: loraLinearLayerSpec,
  MoELayer: moeLayerSpec,
  Conv1dLayer: conv1dLayerSpec,
  Conv2dLayer: conv2dLayerSpec,
  SSMLayer: ssmLayerSpec,
  RNNLayer: rnnLayerSpec,
  AttentionLayer: attentionLayerSpec,
};

/** The spec that a config's type names. @throws ConfigError for a layer from outside that is not registered. */
export function layerSpec(config: LayerConfig): LayerSpec<LayerConfig> {
  const { type } = config;
  const own = Object.hasOwn(layerSpecs, type) ? layerSpecs[type as OwnLayerConfig["type"]] : userLayerSpec(type);
  if (own) return own as LayerSpec<LayerConfig>;
  const message = `expected a layer that is registered, found "${type}"; import the module that registers it first`;
  throw new ConfigError("a layer", [{ code: "unknown_name", path: ["type"], message }]);
}

/** Every name a manifest may write as a layer's `type`, those of registered layers last. */
export function layerTypes(): readonly LayerType[] {
  return [...(Object.keys(layerSpecs) as OwnLayerConfig["type"][]), ...userLayerSpecs().map(({ type }) => type)];
}

/** Every layer schema, those of registered layers last. */
export function layerSchemas(): readonly z.ZodType<LayerConfig>[] {
  return [...Object.values(layerSpecs), ...userLayerSpecs()].map((spec) => (spec as LayerSpec<LayerConfig>).schema);
}

/** Any layer. */
export const layerConfigSchema: z.ZodType<LayerConfig> = growing(
  () => userLayerSpecs().length,
  () => variants("type", layerSchemas()),
);
