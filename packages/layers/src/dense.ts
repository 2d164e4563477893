// The block of a multilayer perceptron: dropout(f(norm(x W + b))), each part only where the config names it.
import { type DenseLayerConfig, type DenseLayerInput, denseLayerConfig } from "@caramba/config";
import type { Tensor } from "@caramba/tensor";
import { activate } from "./activation.ts";
import { DropoutLayer } from "./dropout.ts";
import { LinearLayer } from "./linear.ts";
import { callChild, type ForwardContext, Module } from "./module.ts";
import { LayerNormLayer, RMSNormLayer } from "./norm.ts";

/** [..., dIn] -> [..., dOut]. */
export class DenseLayer extends Module {
  readonly type = "DenseLayer";
  readonly config: DenseLayerConfig;
  readonly linear: LinearLayer;
  readonly norm: LayerNormLayer | RMSNormLayer | null;
  readonly dropout: DropoutLayer | null;

  constructor(input: DenseLayerInput) {
    super();
    this.config = denseLayerConfig(input);
    const { dIn, dOut, bias, normalization, dropout } = this.config;
    this.linear = new LinearLayer({ dIn, dOut, bias });
    if (normalization === "layer_norm") this.norm = new LayerNormLayer({ dModel: dOut });
    else this.norm = normalization === "rms_norm" ? new RMSNormLayer({ dModel: dOut }) : null;
    this.dropout = dropout > 0 ? new DropoutLayer({ p: dropout }) : null;
  }

  override get children(): readonly (readonly [string, Module])[] {
    const all: [string, Module][] = [["linear", this.linear]];
    if (this.norm) all.push(["norm", this.norm]);
    if (this.dropout) all.push(["dropout", this.dropout]);
    return all;
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    let y = callChild("linear", this.linear, x, context);
    if (this.norm) y = callChild("norm", this.norm, y, context);
    if (this.config.activation) y = activate(this.config.activation, y);
    return this.dropout ? callChild("dropout", this.dropout, y, context) : y;
  }
}
