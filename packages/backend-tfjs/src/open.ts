// How the engines are opened by name.
import { CarambaError } from "@caramba/tensor";
import { TfjsBackend } from "./backend.ts";
import { devices, start, type TfjsDevice, type WasmOptions, wasmThreads } from "./engine.ts";
import { openDefaultWebGpu, openWebGpu, type WebGpuOptions } from "./webgpu.ts";

/** How to open an engine. */
export interface TfjsOptions extends WasmOptions, Partial<WebGpuOptions> {
  /** cpu, wasm, webgpu, node or node-gpu; default wasm where it loads, else cpu. */
  readonly device?: string;
  /**
   * Upper limit of compute threads, for wasm in a browser; the other engines use one or choose themselves. The number
   * in use is `backend.threads`. It takes effect when wasm starts, once per process.
   */
  readonly threads?: number;
}

function checkDevice(device: string): TfjsDevice {
  const found = devices.find((d) => d === device);
  if (found) return found;
  throw new CarambaError(`there is no device "tfjs:${device}"`, {
    code: "device",
    remedy: `use ${devices.join(", ")}`,
  });
}

async function openOne(device: TfjsDevice, options: TfjsOptions): Promise<TfjsBackend> {
  if (device === "webgpu") {
    const { gpuDevice, adapterInfo } = options;
    return gpuDevice ? openWebGpu({ gpuDevice, ...(adapterInfo ? { adapterInfo } : {}) }) : openDefaultWebGpu();
  }
  await start(device, options);
  return new TfjsBackend(device, device === "wasm" ? await wasmThreads() : 1);
}

/**
 * Opens an engine of TensorFlow.js.
 * @throws CarambaError `device` with a remedy where the engine is missing or does not start.
 */
export async function open(options: TfjsOptions = {}): Promise<TfjsBackend> {
  const { device, threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1))
    throw new CarambaError(`${threads} threads`, { code: "threads", remedy: "give an integer of at least 1" });
  if (device !== undefined) return openOne(checkDevice(device), options);
  try {
    return await openOne("wasm", options);
  } catch (error) {
    if (!(error instanceof CarambaError)) throw error;
    return openOne("cpu", options);
  }
}
