// Low-rank adaptation (Hu et al., "LoRA: low-rank adaptation of large language models", 2021):
//   y = x W + b + alpha / r * dropout(x) A B,   A [dIn, r], B [r, dOut]
// A starts at random and B at zero, so that the layer starts as its base. W and b are named as in a LinearLayer, so that
// weights of a plain model fit; they are frozen unless the config says otherwise.
import {
  type LoRALinearLayerConfig,
  type LoRALinearLayerInput,
  loraLinearLayerConfig,
  mergedLoraConfig,
} from "@caramba/config";
import { add, matmul, type Tensor, Variable } from "@caramba/tensor";
import { DropoutLayer } from "./dropout.ts";
import { linearInit } from "./init.ts";
import { LinearLayer } from "./linear.ts";
import { callChild, type ForwardContext, Module, present } from "./module.ts";

/** Affine map of the last axis with an update of rank r: [..., dIn] -> [..., dOut]. */
export class LoRALinearLayer extends Module {
  readonly type = "LoRALinearLayer";
  readonly config: LoRALinearLayerConfig;
  readonly weight: Variable;
  readonly bias: Variable | null;
  readonly loraA: Variable;
  readonly loraB: Variable;
  readonly dropout: DropoutLayer | null;

  constructor(input: LoRALinearLayerInput) {
    super();
    this.config = loraLinearLayerConfig(input);
    const { dIn, dOut, r, bias, dropout, freezeBase } = this.config;
    const trainable = !freezeBase;
    this.weight = new Variable("weight", [dIn, dOut], { init: linearInit, trainable });
    this.bias = bias ? new Variable("bias", [dOut], { trainable }) : null;
    this.loraA = new Variable("lora_a", [dIn, r], { init: linearInit });
    this.loraB = new Variable("lora_b", [r, dOut]);
    this.dropout = dropout > 0 ? new DropoutLayer({ p: dropout }) : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return present({ weight: this.weight, bias: this.bias, lora_a: this.loraA, lora_b: this.loraB });
  }

  override get plainWeights(): readonly Variable[] {
    return [this.weight];
  }

  override get children(): readonly (readonly [string, Module])[] {
    return this.dropout ? [["dropout", this.dropout]] : [];
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const { alpha, r } = this.config;
    const base = matmul(x, this.weight.tensor);
    const dropped = this.dropout ? callChild("dropout", this.dropout, x, context) : x;
    const update = matmul(matmul(dropped, this.loraA.tensor), this.loraB.tensor, { alpha: alpha / r });
    const y = add(base, update);
    return this.bias ? add(y, this.bias.tensor) : y;
  }

  /** W + alpha / r * A B, [dIn, dOut]: summed in float64, rounded once. */
  async mergedWeight(): Promise<Float32Array> {
    const { dIn, dOut, r, alpha } = this.config;
    const [w, a, b] = (await Promise.all([this.weight, this.loraA, this.loraB].map((v) => v.read()))) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const row = new Float64Array(dOut);
    for (let i = 0; i < dIn; i++) {
      row.fill(0);
      for (let k = 0; k < r; k++) {
        const factor = ((a[i * r + k] as number) * alpha) / r;
        for (let j = 0; j < dOut; j++) row[j] = (row[j] as number) + factor * (b[k * dOut + j] as number);
      }
      for (let j = 0; j < dOut; j++) w[i * dOut + j] = (w[i * dOut + j] as number) + (row[j] as number);
    }
    return w;
  }

  /** The plain layer that computes the same, without the dropout of training. */
  async merge(): Promise<LinearLayer> {
    const merged = new LinearLayer(mergedLoraConfig(this.config));
    merged.weight.write(await this.mergedWeight());
    if (this.bias) merged.bias?.write(await this.bias.read());
    return merged;
  }
}
