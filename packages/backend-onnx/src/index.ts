// Public entry of @caramba/backend-onnx.

export { OnnxBackend, type OnnxOptions, open } from "./backend.ts";
export { OnnxBuffer } from "./buffer.ts";
export { availableDevices, defaultThreads } from "./device.ts";
export { exportGraph, type WeightPlace, WeightsLayout } from "./export.ts";
export { type ProfileOptions, type ProfileRow, profileGraph } from "./profile.ts";
export type { CacheLimits } from "./session-cache.ts";
