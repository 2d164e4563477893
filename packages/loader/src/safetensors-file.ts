// One safetensors file, opened: its header is read and checked, its tensors are read one at a time when asked for.

import { endianness } from "node:os";
import { openFile, type RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { readTensor, readTensorFloat32, type TensorHolder } from "./read-tensor.ts";
import type { SafetensorsDType, TensorArray } from "./safetensors-dtype.ts";
import { badSafetensors, quote, readHeader, type SafetensorsHeader, type TensorInfo } from "./safetensors-header.ts";

/** A tensor as plain data: `shape`, row-major, and the array that carries `dtype` (raw bits for F16, BF16, F8). */
export interface TensorData {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: TensorArray;
}

/** Which way round a matrix is read. */
export type MatrixLayout = "stored" | "transposed";

/** Named tensors that are read when asked for: one file, or the shards of a model. */
export interface TensorSource {
  /** What to call it in messages: the path that was opened. */
  readonly path: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** Names in the order of the file: of the data, in PyTorch files of the state dict. */
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Dtype and shape without reading. @throws CarambaError `missing-tensor`. */
  info(name: string): TensorInfo;
  /** Reads one tensor. @throws CarambaError `missing-tensor`, `truncated-file`, `out-of-memory`; as the format's. */
  read(name: string): Promise<TensorData>;
  /**
   * Reads one tensor of a float dtype as float32 (F64 is rounded to nearest, the others are exact), as it is stored
   * (the default) or, a matrix, transposed.
   */
  readFloat32(name: string, layout?: MatrixLayout): Promise<Float32Array>;
  close(): Promise<void>;
}

/** A safetensors file. Reading needs memory for the tensor wanted and, when converting, a few MiB more. */
export class SafetensorsFile implements TensorSource {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly names: readonly string[];
  readonly #holder: TensorHolder;
  readonly #tensors: SafetensorsHeader["tensors"];

  private constructor(source: RandomAccess, header: SafetensorsHeader) {
    this.path = source.name;
    this.metadata = header.metadata;
    this.names = [...header.tensors.keys()];
    this.#holder = { source, damaged: (what) => badSafetensors(source.name, what) };
    this.#tensors = header.tensors;
  }

  /** Opens a file and checks its header. @throws CarambaError `missing-file`, `not-a-file`, `bad-safetensors`, ... */
  static async open(path: string): Promise<SafetensorsFile> {
    const source = await openFile(path);
    return SafetensorsFile.from(source).catch(async (error: unknown) => {
      await source.close();
      throw error;
    });
  }

  /** The same over any bytes. The caller closes `source` if this rejects. */
  static async from(source: RandomAccess): Promise<SafetensorsFile> {
    demandLittleEndian();
    return new SafetensorsFile(source, await readHeader(source));
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): TensorInfo {
    const found = this.#tensors.get(name);
    if (!found) throw missingTensor(this.path, name, this.names);
    return found;
  }

  async read(name: string): Promise<TensorData> {
    return readTensor(this.#holder, name, this.info(name));
  }

  async readFloat32(name: string, layout?: MatrixLayout): Promise<Float32Array> {
    return readTensorFloat32(this.#holder, name, this.info(name), layout);
  }

  async close(): Promise<void> {
    await this.#holder.source.close();
  }
}

/** Tensors are views of a file's bytes, which are little-endian. @throws CarambaError `big-endian`. */
export function demandLittleEndian(): void {
  if (endianness() === "LE") return;
  throw new CarambaError("weight files are little-endian, and this machine is not", {
    code: "big-endian",
    remedy: "Use another machine.",
  });
}

/** The error for a name that a source does not have. */
export function missingTensor(path: string, name: string, names: readonly string[]): CarambaError {
  const few = names.slice(0, 5).map(quote).join(", ");
  return new CarambaError(`${path}: no tensor ${quote(name)}`, {
    code: "missing-tensor",
    remedy: `It has ${names.length}: ${few}${names.length > 5 ? ", ..." : ""}. Check the name and the file.`,
  });
}
