// Public entry of @caramba/model.
export {
  attentionLayers,
  cacheBytes,
  cacheBytesPerElement,
  forwardFlopsPerToken,
  kvBytesPerToken,
  kvElementsPerToken,
  type MemoryCall,
  type ModelMemory,
  modelMemory,
  parameterCount,
  stateBytes,
  stateElements,
} from "./accounting.ts";
export { TokenEmbedder } from "./embedder.ts";
export { mergeLora } from "./merge-lora.ts";
export { buildModel, type LogitsOptions, Model } from "./model.ts";
export { Trace, type TracedOutput, type TracePredicate, traceForward } from "./trace.ts";
