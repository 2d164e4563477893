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
export { type ListedModule, listModules } from "./list-modules.ts";
export { adapterPaths, mergeLora, withoutLora } from "./merge-lora.ts";
export { buildModel, type LogitsOptions, Model } from "./model.ts";
export { modulesAt, type TracePredicate } from "./module-paths.ts";
export { Trace, type TraceChoice, type TracedOutput, traceForward, traceOutputs } from "./trace.ts";
