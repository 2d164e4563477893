// Causal depthwise convolution over time, the short memory of Mamba (Gu and Dao, 2023) and H3 (Fu et al., 2022):
//   y_t = b + sum_{i<K} w_i * x_(t-K+1+i),   x before the first token is zero
// Taps are stored [K, D], newest last: PyTorch's Conv1d(groups=D) weight [D, 1, K] turned round. While decoding, the last
// K-1 inputs are the state.
import { type Conv1dLayerConfig, type Conv1dLayerInput, conv1dLayerConfig } from "@caramba/config";
import {
  add,
  addDims,
  concat,
  type Dim,
  depthwiseConv,
  pad,
  scopePath,
  slice,
  type Tensor,
  Variable,
} from "@caramba/tensor";
import { linearInit } from "./init.ts";
import { type ForwardContext, Module, present, type StatefulModule, type StatePart } from "./module.ts";

/** [B, T, D] -> [B, T, D]. */
export class Conv1dLayer extends Module implements StatefulModule {
  readonly type = "Conv1dLayer";
  readonly config: Conv1dLayerConfig;
  readonly weight: Variable;
  readonly bias: Variable | null;

  constructor(input: Conv1dLayerInput) {
    super();
    this.config = conv1dLayerConfig(input);
    const { dModel, kernelSize, bias } = this.config;
    this.weight = new Variable("weight", [kernelSize, dModel], { init: linearInit });
    this.bias = bias ? new Variable("bias", [dModel]) : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return present({ weight: this.weight, bias: this.bias });
  }

  /** The last K-1 inputs, oldest first; a kernel of one token needs none. */
  get stateParts(): readonly StatePart[] {
    const { dModel, kernelSize } = this.config;
    return kernelSize === 1 ? [] : [{ name: "inputs", shape: [kernelSize - 1, dModel] }];
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const before = this.config.kernelSize - 1;
    const slot = before > 0 ? context.state?.(scopePath(), this) : undefined;
    const past = slot?.past?.get("inputs");
    const padded = past ? concat([past, x], 1) : pad(x, 1, before, 0);
    const length = x.shape[1] as Dim;
    slot?.update(new Map([["inputs", slice(padded, 1, length, addDims(length, before))]]));
    const y = depthwiseConv(padded, this.weight.tensor);
    return this.bias ? add(y, this.bias.tensor) : y;
  }
}
