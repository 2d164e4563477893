// Reading token ids from .npy without loading it: pages are read where they are needed and a few are kept.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { readError } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { MAX_HEADER_BYTES, type NpyHeader, parseNpyHeader, type TokenDType } from "./npy-header.ts";
import { checkRange, type TokenSource } from "./token-source.ts";

const PAGE_TOKENS = 1 << 14;
const MAX_PAGES = 64;

/**
 * Tokens of a .npy file of integers, any shape in row order. Holds at most 4 MiB of it in memory.
 * Errors: CarambaError `missing-file`, `file`, `npy` (not a token file, damaged), `token-id` (an id that is negative or
 * does not fit int32).
 */
export class NpyTokens implements TokenSource {
  readonly path: string;
  readonly #header: NpyHeader;
  readonly #pages = new Map<number, Int32Array>();
  #fd: number | undefined;

  constructor(path: string) {
    this.path = path;
    try {
      this.#fd = openSync(path, "r");
      const size = fstatSync(this.#fd).size;
      const start = new Uint8Array(Math.min(size, MAX_HEADER_BYTES + 12));
      const got = readFully(this.#fd, start, 0);
      this.#header = parseNpyHeader(start.subarray(0, got), size, path);
    } catch (error) {
      this.close();
      throw readError(path, error, "read");
    }
  }

  get length(): number {
    return this.#header.length;
  }

  get dtype(): TokenDType {
    return this.#header.dtype;
  }

  get shape(): readonly number[] {
    return this.#header.shape;
  }

  read(start: number, end: number): Int32Array {
    checkRange(start, end, this.length);
    const out = new Int32Array(end - start);
    for (let at = start; at < end; ) {
      const page = Math.floor(at / PAGE_TOKENS);
      const first = page * PAGE_TOKENS;
      const stop = Math.min(end, first + PAGE_TOKENS);
      out.set(this.#page(page).subarray(at - first, stop - first), at - start);
      at = stop;
    }
    return out;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#pages.clear();
  }

  #page(index: number): Int32Array {
    let page = this.#pages.get(index);
    if (page === undefined) {
      page = this.#readPage(index);
      const oldest = this.#pages.keys().next().value;
      if (this.#pages.size >= MAX_PAGES && oldest !== undefined) this.#pages.delete(oldest);
    } else this.#pages.delete(index);
    // Last in, last out: the map keeps the order of use.
    this.#pages.set(index, page);
    return page;
  }

  #readPage(index: number): Int32Array {
    if (this.#fd === undefined) throw new Error(`${this.path} is closed`);
    const first = index * PAGE_TOKENS;
    const count = Math.min(PAGE_TOKENS, this.length - first);
    const { itemBytes, dataOffset, dtype } = this.#header;
    const bytes = new Uint8Array(count * itemBytes);
    let got: number;
    try {
      got = readFully(this.#fd, bytes, dataOffset + first * itemBytes);
    } catch (error) {
      throw readError(this.path, error, "read");
    }
    if (got < bytes.length) {
      throw new CarambaError(`${this.path} became shorter while it was open`, {
        code: "file",
        remedy: "let no other program write it during a run",
      });
    }
    return this.#toIds(dtype, bytes, first);
  }

  #toIds(dtype: TokenDType, bytes: Uint8Array, first: number): Int32Array {
    const view = new DataView(bytes.buffer);
    const ids = new Int32Array(bytes.length / this.#header.itemBytes);
    const get = GETTERS[dtype];
    for (let i = 0; i < ids.length; i++) {
      const id = get(view, i);
      if (id < 0 || id > 0x7fffffff) {
        throw new CarambaError(`${this.path}: token ${first + i} has id ${id}; ids are 0 to 2147483647`, {
          code: "token-id",
          remedy: "the file holds something else than token ids, or is damaged",
        });
      }
      ids[i] = Number(id);
    }
    return ids;
  }
}

const GETTERS: Readonly<Record<TokenDType, (view: DataView, index: number) => number | bigint>> = {
  uint8: (view, i) => view.getUint8(i),
  int8: (view, i) => view.getInt8(i),
  uint16: (view, i) => view.getUint16(2 * i, true),
  int16: (view, i) => view.getInt16(2 * i, true),
  uint32: (view, i) => view.getUint32(4 * i, true),
  int32: (view, i) => view.getInt32(4 * i, true),
  int64: (view, i) => view.getBigInt64(8 * i, true),
};

function readFully(fd: number, into: Uint8Array, position: number): number {
  let got = 0;
  while (got < into.length) {
    const n = readSync(fd, into, got, into.length - got, position + got);
    if (n === 0) break;
    got += n;
  }
  return got;
}
