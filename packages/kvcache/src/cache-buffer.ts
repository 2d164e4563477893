// One growing array of cache rows on a backend: [capacity, heads, width], of which the first `length` rows count.
// Capacity doubles up to a limit, so appending costs O(1) rows amortised; reading is a view, not a copy, where the
// engine can make one.
import { type Backend, bufferBytes, CarambaError, type DeviceBuffer, type DType } from "@caramba/tensor";

/** What a CacheBuffer holds. */
export interface CacheBufferOptions {
  readonly backend: Backend;
  /** Rows per position: batch times key-value heads. */
  readonly heads: number;
  /** Numbers per row. */
  readonly width: number;
  readonly dtype: Extract<DType, "float32" | "float16">;
  /** Most positions it may ever hold. */
  readonly maxLength: number;
  /** Positions allocated at first; default min(64, maxLength). */
  readonly capacity?: number;
}

/** Cache rows with append and truncate. */
export class CacheBuffer {
  readonly heads: number;
  readonly width: number;
  readonly dtype: DType;
  readonly maxLength: number;
  readonly #backend: Backend;
  #buffer: DeviceBuffer;
  #length = 0;

  constructor(options: CacheBufferOptions) {
    this.#backend = options.backend;
    this.heads = options.heads;
    this.width = options.width;
    this.dtype = options.dtype;
    this.maxLength = options.maxLength;
    this.#buffer = this.#alloc(Math.min(options.capacity ?? 64, options.maxLength));
  }

  /** Positions stored. */
  get length(): number {
    return this.#length;
  }

  /** Positions allocated. */
  get capacity(): number {
    return this.#buffer.shape[0] as number;
  }

  /** Bytes allocated. */
  get bytes(): number {
    return bufferBytes(this.#buffer);
  }

  /** The stored rows [length, heads, width]; valid until the next append. */
  view(): DeviceBuffer {
    return this.#backend.prefix(this.#buffer, this.#length);
  }

  /** Appends rows [n, heads, width]; returns the length before. */
  append(rows: DeviceBuffer): number {
    const [n = 0, heads, width] = rows.shape;
    if (rows.shape.length !== 3 || heads !== this.heads || width !== this.width || rows.dtype !== this.dtype)
      throw new CarambaError(
        `cache rows are ${this.dtype}[n, ${this.heads}, ${this.width}], given ${rows.dtype}[${rows.shape.join(", ")}]`,
        { code: "shape", remedy: "append what the layer's decode graph returned" },
      );
    const before = this.#length;
    this.reserve(before + n);
    this.#buffer = this.#backend.writeRows(this.#buffer, before, rows);
    this.#length = before + n;
    return before;
  }

  /** Makes room for `length` positions in all, doubling. */
  reserve(length: number): void {
    if (length > this.maxLength)
      throw new CarambaError(`the cache holds at most ${this.maxLength} positions, ${length} are needed`, {
        code: "cache-overflow",
        remedy: "raise max_seq_len or generate fewer tokens",
      });
    if (length <= this.capacity) return;
    let capacity = Math.max(1, this.capacity);
    while (capacity < length) capacity *= 2;
    const grown = this.#alloc(Math.min(capacity, this.maxLength));
    const old = this.#buffer;
    this.#buffer = this.#length > 0 ? this.#backend.writeRows(grown, 0, this.view()) : grown;
    this.#backend.dispose(old);
  }

  /** Forgets all but the first `length` positions. */
  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length)
      throw new CarambaError(`cannot truncate a cache of ${this.#length} positions to ${length}`, { code: "cache" });
    this.#length = length;
  }

  dispose(): void {
    this.#backend.dispose(this.#buffer);
  }

  #alloc(capacity: number): DeviceBuffer {
    return this.#backend.alloc([capacity, this.heads, this.width], this.dtype as "float32" | "float16");
  }
}
