// Type name -> class. Adding a layer is one file and one line here.
import type { LayerConfig, UserLayerConfig } from "@caramba/config";
import { AttentionLayer } from "./attention.ts";
import { Conv1dLayer } from "./conv1d.ts";
import { Conv2dLayer } from "./conv2d.ts";
import { DenseLayer } from "./dense.ts";
import { DropoutLayer } from "./dropout.ts";
import { GLULayer } from "./glu.ts";
import { LinearLayer } from "./linear.ts";
import { LoRALinearLayer } from "./lora.ts";
import type { Module } from "./module.ts";
import { MoELayer } from "./moe.ts";
import { LayerNormLayer, RMSNormLayer } from "./norm.ts";
import { RNNLayer } from "./rnn.ts";
import { SSMLayer } from "./ssm.ts";
import { SwiGLULayer } from "./swiglu.ts";
import { buildUserLayer } from "./user-layer.ts";

/** Builds the layer that a config describes. */
export function buildLayer(config: LayerConfig): Module {
  switch (config.type) {
    case "AttentionLayer":
      return new AttentionLayer(config);
    case "Conv1dLayer":
      return new Conv1dLayer(config);
    case "Conv2dLayer":
      return new Conv2dLayer(config);
    case "DenseLayer":
      return new DenseLayer(config);
    case "DropoutLayer":
      return new DropoutLayer(config);
    case "GLULayer":
      return new GLULayer(config);
    case "LayerNormLayer":
      return new LayerNormLayer(config);
    case "LinearLayer":
      return new LinearLayer(config);
    case "LoRALinearLayer":
      return new LoRALinearLayer(config);
    case "MoELayer":
      return new MoELayer(config);
    case "RMSNormLayer":
      return new RMSNormLayer(config);
    case "RNNLayer":
      return new RNNLayer(config);
    case "SSMLayer":
      return new SSMLayer(config);
    case "SwiGLULayer":
      return new SwiGLULayer(config);
    default:
      return buildUserLayer(config satisfies UserLayerConfig);
  }
}
