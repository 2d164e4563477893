// Finding and starting TensorFlow.js' engines. They register themselves in one global table, of which one is active;
// here each is started at most once, and made active right before its kernels run, so that several can be open.
import { CarambaError } from "@caramba/tensor";
import { engine, findBackendFactory, getBackend, type KernelBackend, registerBackend } from "@tensorflow/tfjs-core";

/** Engines by the names people give them. */
export type TfjsDevice = "cpu" | "wasm" | "webgpu" | "node" | "node-gpu";

export const devices: readonly TfjsDevice[] = ["cpu", "wasm", "webgpu", "node", "node-gpu"];

/** TensorFlow.js' name of the engine behind a device. */
export const engineOf: Readonly<Record<TfjsDevice, string>> = {
  cpu: "cpu",
  wasm: "wasm",
  webgpu: "webgpu",
  node: "tensorflow",
  "node-gpu": "tensorflow",
};

const text = (error: unknown): string =>
  error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);

/** Imports an optional package by name; bundlers must not resolve it. */
export async function optional(name: string, device: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(/* @vite-ignore */ name)) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw new CarambaError(`device "tfjs:${device}" needs the package ${name}, which does not load: ${text(cause)}`, {
      code: "device",
      remedy: `npm install ${name}`,
      cause,
    });
  }
}

/** Puts a started engine into TensorFlow.js' table. */
export function install(name: string, instance: KernelBackend): void {
  const { registry, registryFactory } = engine();
  if (registry[name] === instance) return;
  delete registry[name];
  delete registryFactory[name];
  registerBackend(name, () => instance, 1);
}

/** Makes an engine the active one. Synchronous, because the engine is started. */
export function activate(name: string): void {
  const instance = engine().registry[name];
  // Both are compared: somebody else's slow start may have put its instance under our name.
  if (instance && getBackend() === name && engine().backend === instance) return;
  // Its async part is only the start of an engine that was not started.
  void engine().setBackend(name);
  if (getBackend() !== name || !engine().registry[name])
    throw new CarambaError(`TensorFlow.js did not start its engine "${name}"`, { code: "device" });
}

/** Where wasm files are, for browsers whose bundler moves them; in Node they are found beside the package. */
export interface WasmOptions {
  /** URL of a folder with the three tfjs-backend-wasm*.wasm files. */
  readonly wasmPath?: string;
  readonly threads?: number;
}

async function startCpu(): Promise<void> {
  await import("@tensorflow/tfjs-backend-cpu");
  const factory = findBackendFactory("cpu");
  const instance = (await factory()) as KernelBackend & { firstUse?: boolean };
  // Its first use in Node prints an advertisement.
  instance.firstUse = false;
  install("cpu", instance);
}

async function startWasm({ wasmPath, threads }: WasmOptions): Promise<void> {
  const wasm = await import("@tensorflow/tfjs-backend-wasm");
  if (wasmPath !== undefined) wasm.setWasmPaths(wasmPath.endsWith("/") ? wasmPath : `${wasmPath}/`);
  if (threads !== undefined) wasm.setThreadsCount(threads);
  let instance: KernelBackend;
  try {
    instance = await findBackendFactory("wasm")();
  } catch (cause) {
    throw new CarambaError(`TensorFlow.js' WebAssembly engine does not start: ${text(cause)}`, {
      code: "device",
      remedy: "serve the .wasm files of @tensorflow/tfjs-backend-wasm and give their folder as wasmPath",
      cause,
    });
  }
  install("wasm", instance);
}

/** TensorFlow's C library; registers itself as "tensorflow" while it loads. */
async function startNode(device: "node" | "node-gpu"): Promise<void> {
  await optional(device === "node" ? "@tensorflow/tfjs-node" : "@tensorflow/tfjs-node-gpu", device);
  const factory = findBackendFactory("tensorflow");
  if (!factory)
    throw new CarambaError(`device "tfjs:${device}" loaded but registered no engine`, {
      code: "device",
      remedy: "install the version of tfjs-node that matches @tensorflow/tfjs-core",
    });
  install("tensorflow", await factory());
}

const started = new Map<string, Promise<void>>();

/** Starts an engine once; a start that failed may be tried again. */
export function start(device: Exclude<TfjsDevice, "webgpu">, options: WasmOptions = {}): Promise<void> {
  const name = engineOf[device];
  if (engine().registry[name]) return Promise.resolve();
  let starting = started.get(name);
  if (!starting) {
    starting = device === "cpu" ? startCpu() : device === "wasm" ? startWasm(options) : startNode(device);
    started.set(name, starting);
    starting.then(
      () => started.delete(name),
      () => started.delete(name),
    );
  }
  return starting;
}

/** Threads an engine may use, where that is known and can be limited: only wasm in browsers has more than one. */
export async function wasmThreads(): Promise<number> {
  const wasm = await import("@tensorflow/tfjs-backend-wasm");
  try {
    return wasm.getThreadsCount();
  } catch {
    return 1;
  }
}
