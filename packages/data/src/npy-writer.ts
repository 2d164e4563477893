// Writing token ids to .npy as they come: the header's length is fixed, so the shape is filled in at the end. The file
// appears under its name only when it is complete.

import { dirname } from "node:path";
import { type CreateFile, DurableFile, makeFolder } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { HEADER_BYTES, npyHeader } from "./npy-header.ts";

export interface NpyWriterOptions {
  /** Element type; `uint16` holds ids up to 65535 in half the space. Default `int32`. */
  readonly dtype?: "int32" | "uint16";
  /** Makes the file to write into; for tests of full disks. */
  readonly create?: CreateFile;
}

const BUFFERED_TOKENS = 1 << 18;

/**
 * Streams token ids into a one-dimensional .npy file.
 * Errors: CarambaError `token-id` for an id that the element type cannot hold, `disk-full`, `unwritable-file`. After an error, or
 * after `abort`, nothing is left and an older file of the same name is untouched.
 */
export class NpyWriter {
  readonly path: string;
  readonly dtype: "int32" | "uint16";
  readonly #file: DurableFile;
  readonly #buffer: Int32Array | Uint16Array;
  #buffered = 0;
  #written = 0;

  private constructor(path: string, dtype: "int32" | "uint16", file: DurableFile) {
    this.path = path;
    this.dtype = dtype;
    this.#file = file;
    this.#buffer = dtype === "int32" ? new Int32Array(BUFFERED_TOKENS) : new Uint16Array(BUFFERED_TOKENS);
  }

  static async create(path: string, options: NpyWriterOptions = {}): Promise<NpyWriter> {
    const dtype = options.dtype ?? "int32";
    await makeFolder(dirname(path));
    const file = await DurableFile.create(path, options.create);
    await file.write(new Uint8Array(HEADER_BYTES));
    return new NpyWriter(path, dtype, file);
  }

  /** Tokens appended so far. */
  get length(): number {
    return this.#written + this.#buffered;
  }

  async append(ids: ArrayLike<number>): Promise<void> {
    const limit = this.dtype === "int32" ? 0x7fffffff : 0xffff;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      if (!(Number.isInteger(id) && id >= 0 && id <= limit)) {
        await this.abort();
        throw new CarambaError(`${this.path}: token ${this.length} has id ${id}, which ${this.dtype} cannot hold`, {
          code: "token-id",
          remedy: this.dtype === "uint16" ? "write with dtype int32" : "ids are integers from 0 to 2147483647",
        });
      }
      this.#buffer[this.#buffered++] = id;
      if (this.#buffered === this.#buffer.length) await this.#flush();
    }
  }

  /** Completes the file; `before` runs once everything is written, just ahead of the rename. */
  async close(before?: () => Promise<void>): Promise<void> {
    await this.#flush();
    await this.#file.overwrite(0, npyHeader(this.dtype, this.#written));
    await this.#file.commit(before);
  }

  /** Gives up and leaves nothing behind. */
  async abort(): Promise<void> {
    await this.#file.abort();
  }

  async #flush(): Promise<void> {
    const { buffer, BYTES_PER_ELEMENT } = this.#buffer;
    await this.#file.write(new Uint8Array(buffer, 0, this.#buffered * BYTES_PER_ELEMENT));
    this.#written += this.#buffered;
    this.#buffered = 0;
  }
}
