// Gated feed-forward networks (Dauphin et al., "Language modeling with gated convolutional networks", 2017; Shazeer,
// "GLU variants improve Transformer", 2020): down(f(gate(x)) * up(x)), where f is sigmoid (GLU), silu (SwiGLU), gelu
// (GEGLU) or relu (ReGLU).
import { type GLULayerConfig, type GLULayerInput, gluLayerConfig } from "@caramba/config";
import { mul, swiglu, type Tensor } from "@caramba/tensor";
import { activate } from "./activation.ts";
import { LinearLayer } from "./linear.ts";
import { callChild, type ForwardContext, Module } from "./module.ts";

/** [..., D] -> [..., D] through a hidden width dFf. With silu it is SwiGLULayer, weights and all. */
export class GLULayer extends Module {
  readonly type = "GLULayer";
  readonly config: GLULayerConfig;
  readonly gate: LinearLayer;
  readonly up: LinearLayer;
  readonly down: LinearLayer;

  constructor(input: GLULayerInput) {
    super();
    this.config = gluLayerConfig(input);
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
    const { activation } = this.config;
    const gate = callChild("gate_proj", this.gate, x, context);
    const up = callChild("up_proj", this.up, x, context);
    const hidden = activation === "silu" ? swiglu(gate, up) : mul(activate(activation, gate), up);
    return callChild("down_proj", this.down, hidden, context);
  }
}
