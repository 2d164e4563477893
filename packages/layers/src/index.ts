// Public entry of @caramba/layers.
export { AttentionLayer } from "./attention.ts";
export { Conv1dLayer } from "./conv1d.ts";
export { Conv2dLayer } from "./conv2d.ts";
export { DenseLayer } from "./dense.ts";
export { DropoutLayer } from "./dropout.ts";
export { GLULayer } from "./glu.ts";
export { linearInit, normalInit, onesInit, zerosInit } from "./init.ts";
export { LinearLayer } from "./linear.ts";
export { LoRALinearLayer } from "./lora.ts";
export {
  type CachedModule,
  type CachePart,
  callChild,
  type ForwardContext,
  joinPath,
  type LayerCacheSlot,
  type LayerStateSlot,
  Module,
  positionsOf,
  type StatefulModule,
  type StatePart,
} from "./module.ts";
export { MoELayer } from "./moe.ts";
export { LayerNormLayer, RMSNormLayer } from "./norm.ts";
export { buildLayer } from "./registry.ts";
export { RNNLayer } from "./rnn.ts";
export { inverseFrequencies, RoPE, type RopeTables, ropeTables } from "./rope.ts";
export { SSMLayer } from "./ssm.ts";
export { SwiGLULayer } from "./swiglu.ts";
export { type LayerFieldShapes, registerLayer, type UserLayer } from "./user-layer.ts";
