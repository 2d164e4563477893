// Public entry of @caramba/kvcache.
export { CacheBuffer, type CacheBufferOptions } from "./cache-buffer.ts";
export { LayerState, type StatePartSpec, stateCopies } from "./layer-state.ts";
export { type CachePartSpec, type CacheStorage, ModelCache, type ModelCacheOptions } from "./model-cache.ts";
