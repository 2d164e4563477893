// What a benchmark is: something that measures a model and returns named numbers. Extend BaseBenchmark to make one.
import type { Model } from "@caramba/model";
import { type Backend, CarambaError, defaultBackend, openBackend } from "@caramba/tensor";

/** What a benchmark found. Results of the built-in ones have their rows besides. */
export interface BenchmarkResult {
  /** Kind or name of the benchmark. */
  readonly benchmarkId: string;
  /** Named numbers; what was not measured is left out, never 0. */
  readonly metrics: Readonly<Record<string, number>>;
  /** What a reader of the numbers must know, one sentence each. */
  readonly warnings?: readonly string[];
}

/** Where to measure: a device name such as `onnx:cpu`, an open backend, or nothing for the default backend. */
export type Device = string | Backend;

/** A measurement of one model. */
export abstract class BaseBenchmark<Result extends BenchmarkResult = BenchmarkResult> {
  /** @param modelName stands in the rows; default `model`. */
  abstract run(model: Model, device?: Device, modelName?: string): Promise<Result>;
}

/** Calls `use` with the backend that `device` names; one that was opened for it is closed, after the weights have moved back. */
export async function withBackend<T>(
  device: Device | undefined,
  models: readonly Model[],
  use: (backend: Backend) => Promise<T>,
): Promise<T> {
  if (typeof device !== "string") return use(device ?? (await defaultBackend()));
  const backend = await openBackend(device);
  try {
    return await use(backend);
  } finally {
    // Buffers die with their backend; weights that were moved there come back to host memory first.
    for (const model of models)
      for (const variable of model.variables().values()) variable.write(await variable.read());
    await backend.close();
  }
}

/** Errors: CarambaError `benchmark` unless `repeats` is a positive integer. */
export function checkRepeats(repeats = 1): number {
  if (Number.isSafeInteger(repeats) && repeats > 0) return repeats;
  throw new CarambaError(`repeats is ${repeats}`, { code: "benchmark", remedy: "use 1 or more" });
}
