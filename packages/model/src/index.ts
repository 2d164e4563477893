// Public entry of @caramba/model.
export {
  attentionLayers,
  cacheBytesPerElement,
  forwardFlopsPerToken,
  kvBytesPerToken,
  kvElementsPerToken,
  parameterCount,
} from "./accounting.ts";
export { TokenEmbedder } from "./embedder.ts";
export { mergeLora } from "./merge-lora.ts";
export { buildModel, type LogitsOptions, Model } from "./model.ts";
export { Trace, type TracedOutput, type TracePredicate, traceForward } from "./trace.ts";
