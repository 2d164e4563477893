// One safetensors file, opened: its header is read and checked, its tensors are read one at a time when asked for.
import { endianness } from "node:os";
import { CarambaError } from "@caramba/tensor";
import { checksum, checksumText } from "./checksum.ts";
import { turnRows } from "./matrix.ts";
import { openFile, type RandomAccess } from "./random-access.ts";
import { isFloatDType, type SafetensorsDType, type TensorArray, toFloat32, viewAs } from "./safetensors-dtype.ts";
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
  /** Names in the order of their data. */
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Dtype and shape without reading. @throws CarambaError `missing-tensor`. */
  info(name: string): TensorInfo;
  /** Reads one tensor. @throws CarambaError `missing-tensor`, `bad-safetensors`, `truncated-file`, `out-of-memory`. */
  read(name: string): Promise<TensorData>;
  /**
   * Reads one tensor of a float dtype as float32 (F64 is rounded to nearest, the others are exact), as it is stored
   * (the default) or, a matrix, transposed.
   */
  readFloat32(name: string, layout?: MatrixLayout): Promise<Float32Array>;
  close(): Promise<void>;
}

const chunkBytes = 4 << 20;

/** A safetensors file. Reading needs memory for the tensor wanted and, when converting, a few MiB more. */
export class SafetensorsFile implements TensorSource {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly names: readonly string[];
  readonly #source: RandomAccess;
  readonly #tensors: SafetensorsHeader["tensors"];

  private constructor(source: RandomAccess, header: SafetensorsHeader) {
    this.path = source.name;
    this.metadata = header.metadata;
    this.names = [...header.tensors.keys()];
    this.#source = source;
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
    if (endianness() !== "LE") {
      throw new CarambaError("safetensors files are little-endian, and this machine is not", { code: "big-endian" });
    }
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
    const { dtype, shape, offset, byteLength, crc32: stated } = this.info(name);
    const bytes = this.#allocate(name, byteLength, () => new Uint8Array(byteLength));
    await this.#source.read(offset, bytes);
    if (stated !== undefined) this.#verify(name, checksum(bytes), stated);
    if (dtype === "BOOL" && bytes.some((byte) => byte > 1)) {
      throw badSafetensors(this.path, `tensor ${quote(name)}: a BOOL is neither 0 nor 1`);
    }
    return { dtype, shape, data: viewAs(dtype, bytes.buffer) };
  }

  async readFloat32(name: string, layout: MatrixLayout = "stored"): Promise<Float32Array> {
    const { dtype, shape, offset, byteLength, crc32: stated } = this.info(name);
    if (!isFloatDType(dtype)) {
      throw new CarambaError(`${this.path}: tensor ${quote(name)} is ${dtype}, where real numbers are needed`, {
        code: "wrong-dtype",
        remedy: "Check that the file holds the weights that are meant.",
      });
    }
    const [rows = 1, columns = 1] = shape;
    const turned = layout === "transposed" && byteLength > 0;
    if (turned && shape.length !== 2) {
      throw new CarambaError(`${this.path}: tensor ${quote(name)} [${shape.join(", ")}] is no matrix`, {
        code: "wrong-shape",
        remedy: "Check that the file holds the weights that are meant.",
      });
    }
    if (dtype === "F32" && !turned) return (await this.read(name)).data as Float32Array;
    const count = byteLength === 0 ? 0 : shape.reduce((a, b) => a * b, 1);
    const result = this.#allocate(name, 4 * count, () => new Float32Array(count));
    const size = byteLength / (count || 1);
    // Whole rows at a time, so that a piece can be turned.
    const row = turned ? columns * size : size;
    const chunk = new Uint8Array(Math.min(Math.max(1, Math.floor(chunkBytes / row)) * row, byteLength));
    let found = 0;
    for (let done = 0; done < byteLength; done += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, byteLength - done));
      await this.#source.read(offset + done, part);
      found = checksum(part, found);
      const data = viewAs(dtype, chunk.buffer, 0, part.length / size);
      if (turned) turnRows(data, dtype, result, { rows, columns, at: done / row });
      else toFloat32(data, dtype, result, done / size);
    }
    if (stated !== undefined) this.#verify(name, found, stated);
    return result;
  }

  async close(): Promise<void> {
    await this.#source.close();
  }

  #allocate<T>(name: string, bytes: number, make: () => T): T {
    try {
      return make();
    } catch (cause) {
      throw new CarambaError(`${this.path}: tensor ${quote(name)} needs ${bytes} bytes, which cannot be allocated`, {
        code: "out-of-memory",
        remedy: "Use a machine with more memory, or a model with smaller tensors.",
        cause,
      });
    }
  }

  #verify(name: string, found: number, stated: number): void {
    if (found === stated) return;
    throw badSafetensors(
      this.path,
      `tensor ${quote(name)}: its bytes have checksum ${checksumText(found)}, the file states ${checksumText(stated)}: they were changed`,
    );
  }
}

/** The error for a name that a source does not have. */
export function missingTensor(path: string, name: string, names: readonly string[]): CarambaError {
  const few = names.slice(0, 5).map(quote).join(", ");
  return new CarambaError(`${path}: no tensor ${quote(name)}`, {
    code: "missing-tensor",
    remedy: `It has ${names.length}: ${few}${names.length > 5 ? ", ..." : ""}. Check the name and the file.`,
  });
}
