// Two-dimensional convolution (LeCun et al., 1989) with stride, dilation and groups, as cross-correlation:
//   y[o, p, q] = b[o] + sum_{c, i, j} w[o, c, i, j] x[c, p s - pad + i d, q s - pad + j d]
// Weights are stored [O, C/groups, kh, kw], as PyTorch keeps them.
import { bothAxes, type Conv2dLayerConfig, type Conv2dLayerInput, conv2dLayerConfig } from "@caramba/config";
import { add, conv2d, reshape, type Tensor, Variable } from "@caramba/tensor";
import { normalInit } from "./init.ts";
import { Module, present } from "./module.ts";

/** [B, C, H, W] -> [B, O, H', W'], H and W known. */
export class Conv2dLayer extends Module {
  readonly type = "Conv2dLayer";
  readonly config: Conv2dLayerConfig;
  readonly weight: Variable;
  readonly bias: Variable | null;

  constructor(input: Conv2dLayerInput) {
    super();
    this.config = conv2dLayerConfig(input);
    const { inChannels, outChannels, kernelSize, groups, bias } = this.config;
    const [rows, columns] = bothAxes(kernelSize);
    const inner = inChannels / groups;
    const init = normalInit(Math.sqrt(1 / (3 * inner * rows * columns)));
    this.weight = new Variable("weight", [outChannels, inner, rows, columns], { init });
    this.bias = bias ? new Variable("bias", [outChannels]) : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return present({ weight: this.weight, bias: this.bias });
  }

  forward(x: Tensor): Tensor {
    const { stride, padding, dilation, groups, outChannels } = this.config;
    const y = conv2d(x, this.weight.tensor, {
      stride: bothAxes(stride),
      padding: bothAxes(padding),
      dilation: bothAxes(dilation),
      groups,
    });
    return this.bias ? add(y, reshape(this.bias.tensor, [outChannels, 1, 1])) : y;
  }
}
