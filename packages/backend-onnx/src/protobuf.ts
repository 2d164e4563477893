// Just enough of the protocol buffer wire format to write ONNX: varints, 32-bit floats and length-delimited fields.
// A message is a list of byte chunks; large tensors are referenced, not copied, until `finish`.
// Source: https://protobuf.dev/programming-guides/encoding/

const encoder = new TextEncoder();

/** A message being written. Fields are numbered as in onnx.proto. */
export class Message {
  readonly #chunks: Uint8Array[] = [];
  #buffer = new Uint8Array(64);
  #used = 0;
  #closed = 0;

  /** Bytes written so far. */
  get size(): number {
    return this.#closed + this.#used;
  }

  /** An integer field (wire type 0); negative values take ten bytes, as int64 does. */
  int(field: number, value: number): this {
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  /** A float field (wire type 5). */
  float(field: number, value: number): this {
    this.#varint(field * 8 + 5);
    this.#reserve(4);
    new DataView(this.#buffer.buffer).setFloat32(this.#used, value, true);
    this.#used += 4;
    return this;
  }

  /** A string field. */
  text(field: number, value: string): this {
    const bytes = encoder.encode(value);
    this.#varint(field * 8 + 2);
    this.#varint(bytes.length);
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
    return this;
  }

  /** A bytes field. The array must not change before `finish`. */
  bytes(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    this.#append(value);
    return this;
  }

  /** A nested message, which must be complete. */
  message(field: number, value: Message): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.size);
    for (const chunk of value.#all()) this.#append(chunk);
    return this;
  }

  /** The whole message as one array. */
  finish(): Uint8Array {
    const out = new Uint8Array(this.size);
    let at = 0;
    for (const chunk of this.#all()) {
      out.set(chunk, at);
      at += chunk.length;
    }
    return out;
  }

  #all(): Uint8Array[] {
    return [...this.#chunks, this.#buffer.subarray(0, this.#used)];
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length <= 1024) {
      this.#reserve(bytes.length);
      this.#buffer.set(bytes, this.#used);
      this.#used += bytes.length;
      return;
    }
    this.#chunks.push(this.#buffer.subarray(0, this.#used), bytes);
    this.#closed += this.#used + bytes.length;
    this.#buffer = new Uint8Array(64);
    this.#used = 0;
  }

  #reserve(extra: number): void {
    if (this.#used + extra <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#used + extra));
    larger.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = larger;
  }

  #varint(value: number): void {
    this.#reserve(10);
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
      let rest = value;
      while (rest > 127) {
        this.#buffer[this.#used++] = (rest % 128) | 128;
        rest = Math.floor(rest / 128);
      }
      this.#buffer[this.#used++] = rest;
      return;
    }
    let bits = BigInt.asUintN(64, BigInt(value));
    while (bits > 127n) {
      this.#buffer[this.#used++] = Number(bits & 127n) | 128;
      bits >>= 7n;
    }
    this.#buffer[this.#used++] = Number(bits);
  }
}
