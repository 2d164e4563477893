// A growing array of int32.

/** Collects integers; memory doubles as it fills. */
export class IntBuffer {
  #data: Int32Array;
  #length = 0;

  constructor(capacity = 1024) {
    this.#data = new Int32Array(Math.max(1, capacity));
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    this.#reserve(1);
    this.#data[this.#length++] = value;
  }

  append(values: Int32Array): void {
    this.#reserve(values.length);
    if (values.length < 8) {
      for (let i = 0; i < values.length; i++) this.#data[this.#length + i] = values[i] as number;
    } else this.#data.set(values, this.#length);
    this.#length += values.length;
  }

  /** A copy of exactly what was collected. */
  take(): Int32Array {
    return this.#data.slice(0, this.#length);
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#data.length) return;
    const grown = new Int32Array(Math.max(needed, this.#data.length * 2));
    grown.set(this.#data.subarray(0, this.#length));
    this.#data = grown;
  }
}
