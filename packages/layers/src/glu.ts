// Gated feed-forward networks (Dauphin et al., "Language modeling with gated convolutional networks", 2017; Shazeer,
// "GLU variants improve Transformer", 2020): down(f(gate(x)) * up(x)), where f is sigmoid (GLU), silu (SwiGLU), gelu
// (GEGLU) or relu (ReGLU). Gate and up are two matrices: a fused one would have to be sliced, which copies, on every call.
import { type Activation, type GLULayerConfig, type GLULayerInput, gluLayerConfig } from "@caramba/config";
import { mul, swiglu, type Tensor } from "@caramba/tensor";
import { activate } from "./activation.ts";
import { LinearLayer } from "./linear.ts";
import { callChild, type ForwardContext, Module } from "./module.ts";

/** What all of them are: [..., D] -> [..., D] through a hidden width dFf. */
export abstract class GatedNetwork extends Module {
  readonly gate: LinearLayer;
  readonly up: LinearLayer;
  readonly down: LinearLayer;
  readonly #activation: Activation;

  constructor({ dModel, dFf, bias }: Pick<GLULayerConfig, "dModel" | "dFf" | "bias">, activation: Activation) {
    super();
    this.gate = new LinearLayer({ dIn: dModel, dOut: dFf, bias });
    this.up = new LinearLayer({ dIn: dModel, dOut: dFf, bias });
    this.down = new LinearLayer({ dIn: dFf, dOut: dModel, bias });
    this.#activation = activation;
  }

  override get children(): readonly (readonly [string, Module])[] {
    return [
      ["gate_proj", this.gate],
      ["up_proj", this.up],
      ["down_proj", this.down],
    ];
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const activation = this.#activation;
    const gate = callChild("gate_proj", this.gate, x, context);
    const up = callChild("up_proj", this.up, x, context);
    const hidden = activation === "silu" ? swiglu(gate, up) : mul(activate(activation, gate), up);
    return callChild("down_proj", this.down, hidden, context);
  }
}

/** The network whose activation is named. With silu it is SwiGLULayer, weights and all. */
export class GLULayer extends GatedNetwork {
  readonly type = "GLULayer";
  readonly config: GLULayerConfig;

  constructor(input: GLULayerInput) {
    const config = gluLayerConfig(input);
    super(config, config.activation);
    this.config = config;
  }
}
