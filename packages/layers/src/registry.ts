// Type name -> class. Adding a layer is one file and one line here.
import type { LayerConfig } from "@caramba/config";
import { AttentionLayer } from "./attention.ts";
import { DropoutLayer } from "./dropout.ts";
import { LinearLayer } from "./linear.ts";
import type { Module } from "./module.ts";
import { LayerNormLayer, RMSNormLayer } from "./norm.ts";
import { SwiGLULayer } from "./swiglu.ts";

/** Builds the layer that a config describes. */
export function buildLayer(config: LayerConfig): Module {
  switch (config.type) {
    case "AttentionLayer":
      return new AttentionLayer(config);
    case "DropoutLayer":
      return new DropoutLayer(config);
    case "LayerNormLayer":
      return new LayerNormLayer(config);
    case "LinearLayer":
      return new LinearLayer(config);
    case "RMSNormLayer":
      return new RMSNormLayer(config);
    case "SwiGLULayer":
      return new SwiGLULayer(config);
    default:
      return config satisfies never;
  }
}
