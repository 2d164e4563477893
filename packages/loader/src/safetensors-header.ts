// The header of a safetensors file: 8 bytes little-endian length, then that many bytes of JSON
// {"__metadata__": {string: string}, name: {"dtype", "shape", "data_offsets": [begin, end]}}, then the data. Offsets
// count from the end of the header; tensors must cover the data exactly, without overlap and without holes
// (https://github.com/huggingface/safetensors, "Format"). Everything a reader will later trust is checked here, once.
import { decodeUtf8, JsonError, JsonReader, type RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { isSafetensorsDType, type SafetensorsDType, safetensorsBytes, safetensorsDTypes } from "./safetensors-dtype.ts";

/** Longest header that is read, in bytes; the limit of the format's own reader. */
export const maxHeaderBytes: number = 100_000_000;
const maxTensors = 1_000_000;
const maxRank = 64;

/** Metadata key under which Caramba stores checksums: 8 hexadecimal digits of CRC-32 for each tensor, in data order. */
export const checksumKey: string = "caramba.crc32";

/** Where a tensor lies and what it is. */
export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** Position of its first byte in the file. */
  readonly offset: number;
  readonly byteLength: number;
  /** CRC-32 of its bytes, where the file states one. */
  readonly crc32?: number;
}

/** A checked header. Tensors are in the order of their data. */
export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** An error about the content of a safetensors file. */
export function badSafetensors(file: string, what: string, cause?: unknown): CarambaError {
  return new CarambaError(`${file}: ${what}`, {
    code: "bad-safetensors",
    remedy: "The file is damaged, incomplete or not a safetensors file: obtain or write it again.",
    cause,
  });
}

/** Reads and checks the header. @throws CarambaError `bad-safetensors`, which says what is wrong with which tensor. */
export async function readHeader(source: RandomAccess): Promise<SafetensorsHeader> {
  const { name: file, size } = source;
  if (size < 8) throw badSafetensors(file, `${size} bytes are too few for a safetensors file`);
  const prefix = new Uint8Array(8);
  await source.read(0, prefix);
  const stated = new DataView(prefix.buffer).getBigUint64(0, true);
  if (stated > BigInt(maxHeaderBytes)) {
    throw badSafetensors(file, `states a header of ${stated} bytes, more than the allowed ${maxHeaderBytes}`);
  }
  const length = Number(stated);
  if (8 + length > size) {
    throw badSafetensors(file, `states a header of ${length} bytes, but has only ${size - 8} after the length`);
  }
  const bytes = new Uint8Array(length);
  await source.read(8, bytes);
  const text = decodeUtf8(bytes, `${file}: header`);
  try {
    return parseHeader(text, file, 8 + length, size);
  } catch (error) {
    if (error instanceof JsonError) throw badSafetensors(file, `header: ${error.message}`, error);
    throw error;
  }
}

interface Entry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function parseHeader(text: string, file: string, dataStart: number, size: number): SafetensorsHeader {
  if (!text.startsWith("{")) throw badSafetensors(file, 'header does not begin with "{"');
  const reader = new JsonReader(text);
  const metadata = new Map<string, string>();
  const entries: Entry[] = [];
  reader.object((name) => {
    if (name === "__metadata__") {
      reader.object((key) => {
        metadata.set(key, reader.string("a metadata string"));
      });
      return;
    }
    if (entries.length === maxTensors) throw badSafetensors(file, `has more than ${maxTensors} tensors`);
    entries.push(readEntry(reader, name, file));
  });
  reader.end();
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCover(entries, file, size - dataStart);
  const checksums = readChecksums(metadata.get(checksumKey), entries.length, file);
  const tensors = new Map(
    entries.map(({ name, dtype, shape, begin, end }, i): [string, TensorInfo] => {
      const place = { dtype, shape, offset: dataStart + begin, byteLength: end - begin };
      const crc32 = checksums?.[i];
      return [name, crc32 === undefined ? place : { ...place, crc32 }];
    }),
  );
  return { metadata, tensors };
}

function readEntry(reader: JsonReader, name: string, file: string): Entry {
  const refuse = (what: string): never => {
    throw badSafetensors(file, `tensor ${quote(name)}: ${what}`);
  };
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  reader.object((key) => {
    if (key === "dtype") dtype = reader.string("a dtype");
    else if (key === "shape") shape = readNumbers(reader, maxRank, () => refuse(`more than ${maxRank} dimensions`));
    else if (key === "data_offsets") offsets = readNumbers(reader, 2, () => refuse("more than two data_offsets"));
    else refuse(`unknown key ${quote(key)}`);
  });
  if (dtype === undefined) return refuse("no dtype");
  if (shape === undefined) return refuse("no shape");
  if (!isSafetensorsDType(dtype)) {
    return refuse(`dtype ${quote(dtype)} is not one of ${safetensorsDTypes().join(", ")}`);
  }
  const [begin, end] = offsets ?? [];
  if (begin === undefined || end === undefined) return refuse("data_offsets must be [begin, end]");
  if (begin > end) return refuse(`begins at ${begin}, after its end ${end}`);
  // A zero among the dimensions must not hide that the others are absurd.
  const count = shape.reduce((product, size) => product * (size || 1), safetensorsBytes(dtype));
  if (!Number.isSafeInteger(count)) return refuse(`shape [${shape.join(", ")}] is too large`);
  const needed = shape.includes(0) ? 0 : count;
  if (needed !== end - begin) {
    return refuse(
      `shape [${shape.join(", ")}] of ${dtype} needs ${needed} bytes, its data_offsets span ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

function readNumbers(reader: JsonReader, limit: number, tooMany: () => never): number[] {
  const numbers: number[] = [];
  reader.array((index) => {
    if (index === limit) tooMany();
    numbers.push(reader.naturalNumber());
  });
  return numbers;
}

// Entries are sorted by position.
function checkCover(entries: readonly Entry[], file: string, dataSize: number): void {
  let covered = 0;
  let previous = "";
  for (const { name, begin, end } of entries) {
    if (begin < covered) throw badSafetensors(file, `tensors ${quote(previous)} and ${quote(name)} overlap`);
    if (begin > covered) {
      throw badSafetensors(
        file,
        `bytes ${covered} to ${begin} of the data before tensor ${quote(name)} belong to none`,
      );
    }
    if (end > dataSize) {
      throw badSafetensors(
        file,
        `tensor ${quote(name)} ends at byte ${end} of the data, but only ${dataSize} bytes are there: it is cut short`,
      );
    }
    covered = end;
    previous = name;
  }
  if (covered < dataSize) {
    throw badSafetensors(file, `${dataSize - covered} bytes after the last tensor belong to none`);
  }
}

function readChecksums(text: string | undefined, count: number, file: string): number[] | undefined {
  if (text === undefined) return undefined;
  if (text.length !== 8 * count || !/^[0-9a-f]*$/.test(text)) {
    throw badSafetensors(file, `metadata ${quote(checksumKey)} does not hold 8 hexadecimal digits for each tensor`);
  }
  return Array.from({ length: count }, (_, i) => Number.parseInt(text.slice(8 * i, 8 * i + 8), 16));
}

/** A name from a file, quoted, escaped and cut to a length fit for a message. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name);
}
