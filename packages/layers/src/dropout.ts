// Inverted dropout (Srivastava et al., 2014): while training, each element is kept with probability 1 - p and scaled by
// 1 / (1 - p). The draw is a counter-based random leaf named by the layer's path, so that a resumed run repeats it.
import { type DropoutLayerConfig, type DropoutLayerInput, dropoutLayerConfig } from "@caramba/config";
import { dropout, random, scopePath, type Tensor } from "@caramba/tensor";
import { type ForwardContext, Module } from "./module.ts";

/** Zeroes elements with probability p while training; the identity otherwise. Any shape. */
export class DropoutLayer extends Module {
  readonly type = "DropoutLayer";
  readonly config: DropoutLayerConfig;

  constructor(input: DropoutLayerInput = {}) {
    super();
    this.config = dropoutLayerConfig(input);
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const { p } = this.config;
    if (!context.training || p === 0) return x;
    return dropout(x, random(`dropout:${scopePath()}`, x.shape), p);
  }
}
