// SwiGLU feed-forward network (Shazeer, "GLU variants improve Transformer", 2020): down(silu(gate(x)) * up(x)).
// Gate and up are two matrices: a fused one would have to be sliced, which copies, on every call.
import { type SwiGLULayerConfig, type SwiGLULayerInput, swigluLayerConfig } from "@caramba/config";
import { swiglu, type Tensor } from "@caramba/tensor";
import { LinearLayer } from "./linear.ts";
import { callChild, type ForwardContext, Module } from "./module.ts";

/** [..., D] -> [..., D] through a hidden width dFf. */
export class SwiGLULayer extends Module {
  readonly type = "SwiGLULayer";
  readonly config: SwiGLULayerConfig;
  readonly gate: LinearLayer;
  readonly up: LinearLayer;
  readonly down: LinearLayer;

  constructor(input: SwiGLULayerInput) {
    super();
    this.config = swigluLayerConfig(input);
    const { dModel, dFf, bias } = this.config;
    this.gate = new LinearLayer({ dIn: dModel, dOut: dFf, bias });
    this.up = new LinearLayer({ dIn: dModel, dOut: dFf, bias });
    this.down = new LinearLayer({ dIn: dFf, dOut: dModel, bias });
  }

  override get children(): readonly (readonly [string, Module])[] {
    return [
      ["gate_proj", this.gate],
      ["up_proj", this.up],
      ["down_proj", this.down],
    ];
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const hidden = swiglu(callChild("gate_proj", this.gate, x, context), callChild("up_proj", this.up, x, context));
    return callChild("down_proj", this.down, hidden, context);
  }
}
