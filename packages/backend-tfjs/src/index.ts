// Public entry of @caramba/backend-tfjs.

export { TfjsBackend } from "./backend.ts";
export { TfjsBuffer } from "./buffer.ts";
export type { TfjsDevice, WasmOptions } from "./engine.ts";
export { open, type TfjsOptions } from "./open.ts";
export { type GpuDeviceLike, openWebGpu, type WebGpuOptions } from "./webgpu.ts";
