// Norms of the last axis, which is D wide:
//   RMSNorm    y = x / sqrt(mean(x^2) + eps) * w               Zhang and Sennrich, 2019
//   LayerNorm  y = (x - mean(x)) / sqrt(var(x) + eps) * w + b  Ba et al., 2016; var divides by D
// Gradients are by hand, in @caramba/tensor (composites/norm.ts).
import {
  type LayerNormLayerConfig,
  type LayerNormLayerInput,
  layerNormLayerConfig,
  type RMSNormLayerConfig,
  type RMSNormLayerInput,
  rmsNormLayerConfig,
} from "@caramba/config";
import { layerNorm, rmsNorm, type Tensor, Variable } from "@caramba/tensor";
import { onesInit } from "./init.ts";
import { Module, present } from "./module.ts";

/** x / rms(x) * w: [..., D] -> [..., D]; no w with `elementwiseAffine: false`. */
export class RMSNormLayer extends Module {
  readonly type = "RMSNormLayer";
  readonly config: RMSNormLayerConfig;
  readonly weight: Variable | null;

  constructor(input: RMSNormLayerInput) {
    super();
    this.config = rmsNormLayerConfig(input);
    this.weight = this.config.elementwiseAffine
      ? new Variable("weight", [this.config.dModel], { init: onesInit })
      : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return present({ weight: this.weight });
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight?.tensor ?? null, this.config.eps);
  }
}

/** (x - mean) / sqrt(var + eps) * w + b: [..., D] -> [..., D]. */
export class LayerNormLayer extends Module {
  readonly type = "LayerNormLayer";
  readonly config: LayerNormLayerConfig;
  readonly weight: Variable;
  readonly bias: Variable;

  constructor(input: LayerNormLayerInput) {
    super();
    this.config = layerNormLayerConfig(input);
    this.weight = new Variable("weight", [this.config.dModel], { init: onesInit });
    this.bias = new Variable("bias", [this.config.dModel]);
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return present({ weight: this.weight, bias: this.bias });
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight.tensor, this.bias.tensor, this.config.eps);
  }
}
