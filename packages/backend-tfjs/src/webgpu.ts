// TensorFlow.js on a GPUDevice: the browser's own, or one that is handed in (in Node from the npm package `webgpu`).
import { CarambaError } from "@caramba/tensor";
import type { KernelBackend } from "@tensorflow/tfjs-core";
import { TfjsBackend } from "./backend.ts";
import { install, optional } from "./engine.ts";

/** A GPUDevice, seen from here: its types come with the DOM or with @webgpu/types, which users need not have. */
export interface GpuDeviceLike {
  readonly limits: object;
  readonly features: object;
}

/** What `openWebGpu` is given. */
export interface WebGpuOptions {
  readonly gpuDevice: GpuDeviceLike;
  /** GPUAdapterInfo; TensorFlow.js tunes by its vendor and architecture. Default: unknown. */
  readonly adapterInfo?: object;
}

interface GpuLike {
  requestAdapter(options?: object): Promise<{
    readonly limits: Readonly<Record<string, number>>;
    readonly features: ReadonlySet<string>;
    readonly info?: object;
    requestDevice(options: object): Promise<GpuDeviceLike>;
  } | null>;
}

type BackendClass = new (device: GpuDeviceLike, adapterInfo: object) => KernelBackend;

/**
 * Opens TensorFlow.js' WebGPU engine on a device of yours. There is one such engine per process: opening it again on
 * another device takes the place of the first, whose buffers are lost.
 * @throws CarambaError `device` where @tensorflow/tfjs-backend-webgpu is not installed.
 */
export async function openWebGpu({ gpuDevice, adapterInfo }: WebGpuOptions): Promise<TfjsBackend> {
  const name = "@tensorflow/tfjs-backend-webgpu";
  const module = await optional(name, "webgpu");
  const Backend = (module["WebGPUBackend"] ??
    (module["default"] as Record<string, unknown> | undefined)?.["WebGPUBackend"]) as BackendClass | undefined;
  if (!Backend)
    throw new CarambaError(`${name} exports no WebGPUBackend`, {
      code: "device",
      remedy: `npm install ${name}@4.22.0`,
    });
  install("webgpu", new Backend(gpuDevice, adapterInfo ?? { vendor: "", architecture: "" }));
  return new TfjsBackend("webgpu");
}

/** Opens WebGPU on the browser's default device. */
export async function openDefaultWebGpu(): Promise<TfjsBackend> {
  const gpu = (globalThis as { navigator?: { gpu?: GpuLike } }).navigator?.gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter)
    throw new CarambaError(`device "tfjs:webgpu": there is no GPU adapter here`, {
      code: "device",
      remedy: "use a browser with WebGPU, or make a GPUDevice (npm package webgpu) and pass it to openWebGpu",
    });
  const { limits } = adapter;
  const wanted = ["maxBufferSize", "maxStorageBufferBindingSize", "maxComputeWorkgroupStorageSize"];
  const gpuDevice = await adapter.requestDevice({
    requiredLimits: Object.fromEntries(wanted.flatMap((key) => (key in limits ? [[key, limits[key]]] : []))),
    requiredFeatures: ["timestamp-query"].filter((feature) => adapter.features.has(feature)),
  });
  return openWebGpu({ gpuDevice, ...(adapter.info ? { adapterInfo: adapter.info } : {}) });
}
