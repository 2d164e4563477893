// SwiGLU feed-forward network (Shazeer, "GLU variants improve Transformer", 2020): down(silu(gate(x)) * up(x)), Llama's. The
// gated network of glu.ts whose activation is silu.
import { type SwiGLULayerConfig, type SwiGLULayerInput, swigluLayerConfig } from "@caramba/config";
import { GatedNetwork } from "./glu.ts";

/** [..., D] -> [..., D] through a hidden width dFf. */
export class SwiGLULayer extends GatedNetwork {
  readonly type = "SwiGLULayer";
  readonly config: SwiGLULayerConfig;

  constructor(input: SwiGLULayerInput) {
    const config = swigluLayerConfig(input);
    super(config, "silu");
    this.config = config;
  }
}
