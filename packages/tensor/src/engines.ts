// Finding an engine by name. Backend packages are optional: they are imported when asked for, so that this package
// depends on none of them. A choice that fails is an error; only "auto" tries the next one, where an engine is not there.
import type { Backend, BackendModule } from "./backend.ts";
import { CarambaError } from "./errors.ts";
import { ReferenceBackend } from "./reference.ts";

/** How an engine is opened. */
export interface OpenOptions {
  /** Compute threads; default: the engine's own choice. */
  readonly threads?: number;
}

const packages: ReadonlyMap<string, string> = new Map([
  ["onnx", "@caramba/backend-onnx"],
  ["tfjs", "@caramba/backend-tfjs"],
]);

/** What documents call a device, in our words. */
const words: ReadonlyMap<string, string> = new Map([
  ["cpu", "onnx:cpu"],
  ["cuda", "onnx:cuda"],
  ["mps", "onnx:coreml"],
]);

/**
 * Opens `auto`, `reference`, `onnx` (or `onnx:cpu`, `onnx:cuda`, ...) or `tfjs` (or `tfjs:cpu`, `tfjs:wasm`, ...).
 * `auto` takes the first that loads of onnx, tfjs and reference; `cpu`, `cuda` and `mps` are those of onnx.
 * @throws CarambaError with the command that installs what is missing.
 */
export async function openBackend(device = "auto", options: OpenOptions = {}): Promise<Backend> {
  if (device === "auto") {
    for (const engine of packages.keys()) {
      try {
        return await openBackend(engine, options);
      } catch (error) {
        if (!(error instanceof CarambaError && error.code === "device")) throw error;
      }
    }
    return new ReferenceBackend();
  }
  if (device === "reference") return new ReferenceBackend();
  const [engine = "", ...rest] = (words.get(device) ?? device).split(":");
  const name = packages.get(engine);
  if (!name)
    throw new CarambaError(`there is no device "${device}"`, {
      code: "device",
      remedy: `use auto, ${[...words.keys(), "reference", ...packages.keys()].join(", ")}, or an engine with its provider such as onnx:cpu`,
    });
  let module: BackendModule;
  try {
    module = (await import(/* @vite-ignore */ name)) as BackendModule;
  } catch (cause) {
    throw new CarambaError(`device "${device}" needs the package ${name}, which does not load: ${text(cause)}`, {
      code: "device",
      remedy: `npm install ${name}`,
      cause,
    });
  }
  return module.open({ ...options, ...(rest.length > 0 ? { device: rest.join(":") } : {}) });
}

const text = (error: unknown): string =>
  error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);

let shared: Promise<Backend> | undefined;

/** The backend that `Tensor.data()` and `compile` use when none is named. */
export function defaultBackend(): Promise<Backend> {
  shared ??= openBackend("auto");
  return shared;
}

/** Makes `backend` the default. */
export function setDefaultBackend(backend: Backend): void {
  shared = Promise.resolve(backend);
}
