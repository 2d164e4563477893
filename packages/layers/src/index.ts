// Public entry of @caramba/layers.
export { AttentionLayer } from "./attention.ts";
export { DropoutLayer } from "./dropout.ts";
export { linearInit, normalInit, onesInit } from "./init.ts";
export { LinearLayer } from "./linear.ts";
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
export { LayerNormLayer, RMSNormLayer } from "./norm.ts";
export { buildLayer } from "./registry.ts";
export { inverseFrequencies, RoPE, ropeTables } from "./rope.ts";
export { SwiGLULayer } from "./swiglu.ts";
