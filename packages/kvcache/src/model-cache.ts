// The cache of a whole model: per attention layer rows that grow with the sequence, all of one length, and per recurrent
// layer a state of constant size. Rows can be cut off at any length. A state only knows where it is, where it was before
// the last append, and how sequences begin.
import { type Backend, CarambaError, type DeviceBuffer } from "@caramba/tensor";
import { CacheBuffer } from "./cache-buffer.ts";
import { LayerState, type StatePartSpec } from "./layer-state.ts";

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
  /** State parts of the recurrent layers. Default: there are none. */
  readonly states?: readonly (readonly StatePartSpec[])[];
}

/** Caches of all layers. */
export class ModelCache {
  readonly storage: CacheStorage;
  readonly batchSize: number;
  readonly maxLength: number;
  readonly layers: readonly ReadonlyMap<string, CacheBuffer>[];
  readonly states: readonly LayerState[];
  #length = 0;
  /** Where the other copy of the states was; null when that is lost. */
  #before: number | null = null;

  constructor(layers: readonly (readonly CachePartSpec[])[], options: ModelCacheOptions) {
    const { backend, batchSize, maxLength, storage, capacity, states = [] } = options;
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
    this.states = states.map((parts) => new LayerState(parts, backend, batchSize));
  }

  /** Positions stored. */
  get length(): number {
    return this.#length;
  }

  /** Bytes allocated by all layers, rows and states. */
  get bytes(): number {
    return [...this.#parts(), ...this.states].reduce((sum, part) => sum + part.bytes, 0);
  }

  /** Makes room for `length` positions. */
  reserve(length: number): void {
    if (length > this.maxLength) throw overflow(this.maxLength, length);
    for (const part of this.#parts()) part.reserve(length);
  }

  /** Buffers for a step to write the states into, in layer order; the states before the last append are lost. */
  spareStates(): readonly (readonly DeviceBuffer[])[] {
    this.#before = null;
    return this.states.map((state) => state.spare());
  }

  /**
   * Appends new rows, in layer order, each layer's parts in theirs, with the states after them; all or, after an error,
   * none. `count` is the number of positions, needed where no layer has rows.
   */
  append(
    rows: readonly (readonly DeviceBuffer[])[],
    states: readonly (readonly DeviceBuffer[])[] = [],
    count?: number,
  ): void {
    const parts = this.#parts();
    const given = rows.flat();
    const [first] = given;
    if (rows.length !== this.layers.length || rows.some((own, i) => own.length !== this.layers[i]?.size))
      throw misfit(`the cache has ${this.layers.length} layers of ${parts.length} parts, given ${given.length} parts`);
    if (given.some((buffer) => buffer.shape[0] !== first?.shape[0]))
      throw misfit(`new rows differ in number: ${given.map((buffer) => buffer.shape[0]).join(", ")}`);
    const added = first?.shape[0] ?? count;
    if (added === undefined || (count !== undefined && count !== added))
      throw misfit(`${first?.shape[0] ?? "no"} new rows, said to be ${count ?? "unknown"} positions`);
    if (!Number.isInteger(added) || added < 0) throw misfit(`${added} new positions`);
    if (states.length !== this.states.length)
      throw misfit(`the cache has states of ${this.states.length} layers, given ${states.length}`);
    this.states.forEach((state, i) => {
      state.check(states[i] ?? []);
    });
    const before = this.length;
    if (before + added > this.maxLength) throw overflow(this.maxLength, before + added);
    try {
      parts.forEach((part, i) => {
        part.append(given[i] as DeviceBuffer);
      });
    } catch (error) {
      for (const part of parts) part.truncate(before);
      throw error;
    }
    this.states.forEach((state, i) => {
      state.accept(states[i] ?? []);
    });
    this.#before = before;
    this.#length = before + added;
  }

  /**
   * The greatest length, at most `length` (0 or more), that `truncate` can go to: any up to its own without states, else
   * where they are known.
   */
  keptLength(length: number): number {
    if (this.states.length === 0) return Math.min(length, this.#length);
    return Math.max(...[0, this.#before ?? 0, this.#length].filter((at) => at <= length));
  }

  /** Forgets all but the first `length` positions (rollback). */
  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length)
      throw new CarambaError(`cannot truncate a cache of ${this.#length} positions to ${length}`, {
        code: "cache",
        remedy: "truncate to at most its length",
      });
    if (this.keptLength(length) !== length)
      throw new CarambaError(`the states of recurrent layers at position ${length} are not kept`, {
        code: "cache",
        remedy: "truncate to keptLength(length) and feed the rest again, as Decoder.rollback does",
      });
    for (const part of this.#parts()) part.truncate(length);
    if (length < this.#length && length > 0) for (const state of this.states) state.swap();
    if (length < this.#length) this.#before = null;
    this.#length = length;
  }

  dispose(): void {
    for (const part of [...this.#parts(), ...this.states]) part.dispose();
  }

  #parts(): CacheBuffer[] {
    return this.layers.flatMap((parts) => [...parts.values()]);
  }
}

const overflow = (most: number, needed: number): CarambaError =>
  new CarambaError(`the cache holds at most ${most} positions, ${needed} are needed`, {
    code: "cache-overflow",
    remedy: "raise max_seq_len or generate fewer tokens",
  });

const misfit = (message: string): CarambaError =>
  new CarambaError(message, { code: "shape", remedy: "append what the model's decode graph returned" });
