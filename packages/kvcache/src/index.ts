// Public entry of @caramba/kvcache.
export { CacheBuffer, type CacheBufferOptions } from "./cache-buffer.ts";
export { type CachePartSpec, type CacheStorage, ModelCache, type ModelCacheOptions } from "./model-cache.ts";
