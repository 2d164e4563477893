// The key-value cache of a whole model: per attention layer its parts, all of one length.
import { type Backend, CarambaError, type DeviceBuffer } from "@caramba/tensor";
import { CacheBuffer } from "./cache-buffer.ts";

/** Storage of cached numbers built so far. */
export type CacheStorage = "fp32" | "fp16";

/** One stored part of a layer: per token and sequence, `heads` rows of `width`. */
export interface CachePartSpec {
  readonly name: string;
  readonly heads: number;
  readonly width: number;
}

/** What a ModelCache is made for. */
export interface ModelCacheOptions {
  readonly backend: Backend;
  readonly batchSize: number;
  readonly maxLength: number;
  readonly storage: CacheStorage;
  /** Positions allocated at first. */
  readonly capacity?: number;
}

/** Caches of all layers. */
export class ModelCache {
  readonly storage: CacheStorage;
  readonly batchSize: number;
  readonly maxLength: number;
  readonly layers: readonly ReadonlyMap<string, CacheBuffer>[];

  constructor(layers: readonly (readonly CachePartSpec[])[], options: ModelCacheOptions) {
    const { backend, batchSize, maxLength, storage, capacity } = options;
    this.storage = storage;
    this.batchSize = batchSize;
    this.maxLength = maxLength;
    const dtype = storage === "fp16" ? "float16" : "float32";
    this.layers = layers.map(
      (parts) =>
        new Map(
          parts.map(({ name, heads, width }) => [
            name,
            new CacheBuffer({
              backend,
              heads: batchSize * heads,
              width,
              dtype,
              maxLength,
              ...(capacity === undefined ? {} : { capacity }),
            }),
          ]),
        ),
    );
  }

  /** Positions stored. */
  get length(): number {
    for (const parts of this.layers) for (const part of parts.values()) return part.length;
    return 0;
  }

  /** Bytes allocated by all layers. */
  get bytes(): number {
    return this.#parts().reduce((sum, part) => sum + part.bytes, 0);
  }

  /** Makes room for `length` positions. */
  reserve(length: number): void {
    for (const part of this.#parts()) part.reserve(length);
  }

  /** Appends new rows, in layer order, each layer's parts in theirs; all or, after an error, none. */
  append(rows: readonly (readonly DeviceBuffer[])[]): void {
    const parts = this.#parts();
    const given = rows.flat();
    const [first] = given;
    if (rows.length !== this.layers.length || rows.some((own, i) => own.length !== this.layers[i]?.size))
      throw misfit(`the cache has ${this.layers.length} layers of ${parts.length} parts, given ${given.length} parts`);
    if (given.some((buffer) => buffer.shape[0] !== first?.shape[0]))
      throw misfit(`new rows differ in number: ${given.map((buffer) => buffer.shape[0]).join(", ")}`);
    const before = this.length;
    try {
      parts.forEach((part, i) => {
        part.append(given[i] as DeviceBuffer);
      });
    } catch (error) {
      this.truncate(before);
      throw error;
    }
  }

  /** Forgets all but the first `length` positions (rollback). */
  truncate(length: number): void {
    for (const part of this.#parts()) part.truncate(length);
  }

  dispose(): void {
    for (const part of this.#parts()) part.dispose();
  }

  #parts(): CacheBuffer[] {
    return this.layers.flatMap((parts) => [...parts.values()]);
  }
}

const misfit = (message: string): CarambaError =>
  new CarambaError(message, { code: "shape", remedy: "append what the model's decode graph returned" });
