// y = x W + b. Weights are stored [dIn, dOut], the layout that engines multiply without transposing at decode time;
// Hugging Face stores the transpose, which the loader turns around.
import { type LinearLayerConfig, type LinearLayerInput, linearLayerConfig } from "@caramba/config";
import { add, type Initializer, matmul, type Tensor, Variable } from "@caramba/tensor";
import { linearInit } from "./init.ts";
import { Module, present } from "./module.ts";

/** Affine map of the last axis: [..., dIn] -> [..., dOut]. */
export class LinearLayer extends Module {
  readonly type = "LinearLayer";
  readonly config: LinearLayerConfig;
  readonly weight: Variable;
  readonly bias: Variable | null;
  readonly #plain: boolean;

  /** `init` makes the initial weight; default `linearInit`. `biasInit` makes the offset; default zeros. */
  constructor(input: LinearLayerInput, init: Initializer = linearInit, biasInit?: Initializer) {
    super();
    this.config = linearLayerConfig(input);
    const { dIn, dOut, bias } = this.config;
    this.#plain = init === linearInit;
    this.weight = new Variable("weight", [dIn, dOut], { init });
    this.bias = bias ? new Variable("bias", [dOut], biasInit ? { init: biasInit } : {}) : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return present({ weight: this.weight, bias: this.bias });
  }

  override get plainWeights(): readonly Variable[] {
    return this.#plain ? [this.weight] : [];
  }

  forward(x: Tensor): Tensor {
    const y = matmul(x, this.weight.tensor);
    return this.bias ? add(y, this.bias.tensor) : y;
  }
}
