// The header of a .npy file: magic, version, header length, and a Python dictionary of three entries. Written so that
// the shape can be filled in at the end; read as untrusted input (bounded length, exact grammar, no evaluation).
// Source: NumPy Enhancement Proposal 1 and numpy.lib.format, versions 1.0 to 3.0.
import { CarambaError } from "@caramba/tensor";

/** Integer element types of token files, by NumPy's name, little-endian. */
export type TokenDType = "uint8" | "int8" | "uint16" | "int16" | "uint32" | "int32" | "int64";

interface ElementType {
  readonly name: TokenDType;
  readonly bytes: number;
}

const TYPES: ReadonlyMap<string, ElementType> = new Map<string, ElementType>([
  ["|u1", { name: "uint8", bytes: 1 }],
  ["|i1", { name: "int8", bytes: 1 }],
  ["<u2", { name: "uint16", bytes: 2 }],
  ["<i2", { name: "int16", bytes: 2 }],
  ["<u4", { name: "uint32", bytes: 4 }],
  ["<i4", { name: "int32", bytes: 4 }],
  ["<i8", { name: "int64", bytes: 8 }],
]);

/** What a header says. */
export interface NpyHeader {
  readonly dtype: TokenDType;
  readonly itemBytes: number;
  readonly shape: readonly number[];
  /** Product of the shape. */
  readonly length: number;
  /** Where the elements begin, in bytes from the start of the file. */
  readonly dataOffset: number;
}

/** Bytes that our own headers take: room for any length, and a multiple of 64 as NumPy wants it. */
export const HEADER_BYTES = 128;
/** A header longer than this is not that of a token file. */
export const MAX_HEADER_BYTES = 65536;
const MAGIC = "\x93NUMPY";

/** The header of a one-dimensional array of `length` elements, always HEADER_BYTES long. */
export function npyHeader(dtype: "int32" | "uint16", length: number): Uint8Array {
  const descr = dtype === "int32" ? "<i4" : "<u2";
  const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${length},), }`;
  const text = `${dictionary.padEnd(HEADER_BYTES - 11, " ")}\n`;
  const bytes = Uint8Array.from(`${MAGIC}\x01\x00\x00\x00${text}`, (char) => char.charCodeAt(0));
  new DataView(bytes.buffer).setUint16(8, text.length, true);
  return bytes;
}

/** Whether the bytes begin like a .npy file. */
export function isNpy(start: Uint8Array): boolean {
  return start.length >= 6 && String.fromCharCode(...start.subarray(0, 6)) === MAGIC;
}

/**
 * Parses the start of a file.
 * @param start at least the whole header where the file is long enough, at most MAX_HEADER_BYTES + 12 bytes are used.
 * @param fileBytes size of the file, against which the shape is checked.
 * Errors: CarambaError `npy` naming the file and what is wrong with it.
 */
export function parseNpyHeader(start: Uint8Array, fileBytes: number, path: string): NpyHeader {
  const fail = (what: string, remedy: string): CarambaError =>
    new CarambaError(`${path}: ${what}`, { code: "npy", remedy });
  const damaged = "the file is damaged or cut short; write it again";
  if (!isNpy(start)) throw fail("not a .npy file (it does not begin with \\x93NUMPY)", "name a file of token ids");
  if (start.length < 10) throw fail("cut off inside its header", damaged);
  const version = start[6] as number;
  if (version < 1 || version > 3) throw fail(`.npy version ${version} is unknown (1 to 3 are)`, damaged);
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const prefix = version === 1 ? 10 : 12;
  if (start.length < prefix) throw fail("cut off inside its header", damaged);
  const headerLength = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (headerLength > MAX_HEADER_BYTES) {
    throw fail(`its header claims ${headerLength} bytes; a token file needs under 200`, damaged);
  }
  const dataOffset = prefix + headerLength;
  if (dataOffset > fileBytes || dataOffset > start.length) throw fail("cut off inside its header", damaged);
  const text = new TextDecoder("latin1").decode(start.subarray(prefix, dataOffset));
  const { descr, fortran, shape } = parseDictionary(text, fail);

  const type = TYPES.get(descr);
  if (type === undefined) throw unsupported(descr, fail);
  const length = shape.reduce((product, n) => product * n, 1);
  if (!Number.isSafeInteger(length)) throw fail(`its shape (${shape.join(", ")}) is impossible`, damaged);
  if (fortran && shape.length > 1) {
    throw fail("it is stored column by column (fortran_order)", "save it with np.save(path, np.ravel(a))");
  }
  const missing = dataOffset + length * type.bytes - fileBytes;
  if (missing > 0) {
    throw fail(
      `its shape (${shape.join(", ")}) of ${type.name} needs ${missing} bytes more than the file has`,
      damaged,
    );
  }
  return { dtype: type.name, itemBytes: type.bytes, shape, length, dataOffset };
}

type Fail = (what: string, remedy: string) => CarambaError;

function parseDictionary(text: string, fail: Fail): { descr: string; fortran: boolean; shape: number[] } {
  // The grammar that NumPy writes: three entries in any order, strings without escapes, a tuple of plain integers.
  const damaged = "the file is damaged; write it again with np.save";
  const body = /^\{([^{}]*)\}[ \n]*$/.exec(text)?.[1];
  if (body === undefined) throw fail("its header is not a dictionary", damaged);
  if (/'descr'\s*:\s*\[/.test(body)) {
    throw fail("it holds records (a structured array), not token ids", "save the one column that holds the ids");
  }
  const entry =
    /\s*'(descr|fortran_order|shape)'\s*:\s*(?:'([^'\\]{0,64})'|(True|False)|\(([\d,\s]{0,512})\))\s*(?:,|$)/y;
  const found = new Map<string, RegExpExecArray>();
  while (entry.lastIndex < body.length && !/^\s*$/.test(body.slice(entry.lastIndex))) {
    const at = entry.lastIndex;
    const match = entry.exec(body);
    if (match === null) throw fail(`its header cannot be read at "${body.slice(at, at + 40).trim()}"`, damaged);
    if (found.has(match[1] as string)) throw fail(`its header names ${match[1]} twice`, damaged);
    found.set(match[1] as string, match);
  }
  const descr = found.get("descr")?.[2];
  const fortran = found.get("fortran_order")?.[3];
  const tuple = found.get("shape")?.[4];
  if (descr === undefined || fortran === undefined || tuple === undefined) {
    throw fail("its header lacks descr, fortran_order or shape", damaged);
  }
  const parts = tuple.split(",").map((part) => part.trim());
  if (parts.at(-1) === "") parts.pop();
  if (parts.length > 32 || parts.some((part) => !/^\d{1,16}$/.test(part))) {
    throw fail(`its shape (${tuple}) cannot be read`, damaged);
  }
  return { descr, fortran: fortran === "True", shape: parts.map(Number) };
}

function unsupported(descr: string, fail: Fail): CarambaError {
  const save = 'save it with np.save(path, a.astype("int32"))';
  if (descr.includes("O")) return fail("it holds pickled Python objects, which are never loaded", save);
  if (descr.startsWith(">")) return fail(`it is big-endian (${descr})`, 'save it with np.save(path, a.astype("<i4"))');
  if (/^[<|]?[fc]\d/.test(descr)) return fail(`it holds floating-point numbers (${descr}), not token ids`, save);
  return fail(`its element type ${descr} is not one of ${[...TYPES.keys()].join(", ")}`, save);
}
