// The directory of a zip file. Its entries are meant to be stored, not compressed, as PyTorch writes them: then each is a
// range of the file; what is compressed is told apart, and never expanded. Statements of the two headers of an entry are held against each other and against the file, so that no two
// entries share a byte and none ends outside. Format: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3 (ZIP64). Checksums
// are not verified: torch.serialization.set_crc32_options(False) writes files with wrong ones, and PyTorch reads no other.
import { decodeUtf8, type RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { quote } from "./safetensors-header.ts";

/** Where the content of an entry lies. */
export interface ZipEntry {
  readonly name: string;
  /** Position of its first byte in the file. */
  readonly offset: number;
  /** Bytes that it takes in the file. */
  readonly size: number;
  /** The bytes are not the content itself. */
  readonly compressed: boolean;
}

const maxEntries = 200_000;
const maxDirectoryBytes = 64 << 20;
const full16 = 0xffff;
const full32 = 0xffffffff;
const endSize = 22;
const locatorSize = 20;
const end64Size = 56;
const localSize = 30;
const centralSize = 46;
const encrypted = 1;
const sizesFollow = 8;

/** An error about the content of a zip file. */
function badZip(file: string, what: string): CarambaError {
  return new CarambaError(`${file}: ${what}`, {
    code: "bad-zip",
    remedy: "The file is damaged, incomplete or made to mislead: obtain or write it again.",
  });
}

/**
 * Reads and checks the directory; entries by name, in the order of the file.
 * @throws CarambaError `bad-zip`, which says what is wrong with which entry; `truncated-file`.
 */
export async function readZipDirectory(source: RandomAccess): Promise<ReadonlyMap<string, ZipEntry>> {
  const end = await findEnd(source);
  const listed = parseDirectory(await readBytes(source, end.start, end.size), end, source.name);
  const entries = new Map<string, ZipEntry>();
  listed.sort((a, b) => a.at - b.at);
  for (const [i, entry] of listed.entries()) {
    if (entries.has(entry.name)) throw badZip(source.name, `two entries are called ${quote(entry.name)}`);
    const offset = await contentOffset(source, entry);
    const next = listed[i + 1];
    const limit = next?.at ?? end.start;
    if (offset + entry.size > limit) {
      const other = next ? `entry ${quote(next.name)}` : "the directory";
      throw badZip(source.name, `entry ${quote(entry.name)} overlaps ${other}`);
    }
    entries.set(entry.name, { name: entry.name, offset, size: entry.size, compressed: entry.method !== 0 });
  }
  return entries;
}

interface DirectoryPlace {
  readonly start: number;
  readonly size: number;
  readonly count: number;
}

interface Listed {
  readonly name: string;
  readonly rawName: Uint8Array;
  readonly flags: number;
  readonly method: number;
  /** Bytes in the file. */
  readonly size: number;
  /** Bytes of the content. */
  readonly unpacked: number;
  /** Position of its local header. */
  readonly at: number;
}

/** Little-endian fields of a part of the file. */
class Fields {
  readonly #view: DataView;
  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
  /** May be above 2^53, then rounded: no file is that long, so it is refused by its size. */
  u64(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }
}

async function readBytes(source: RandomAccess, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await source.read(offset, bytes);
  return bytes;
}

async function findEnd(source: RandomAccess): Promise<DirectoryPlace> {
  const { name: file, size } = source;
  const tail = await readBytes(source, Math.max(0, size - endSize - full16), Math.min(size, endSize + full16));
  const tailStart = size - tail.length;
  const fields = new Fields(tail);
  let at = tail.length - endSize;
  // The record is followed by a comment that fills the rest of the file.
  while (at >= 0 && !(fields.u32(at) === 0x06054b50 && at + endSize + fields.u16(at + 20) === tail.length)) at--;
  if (at < 0) throw badZip(file, "has no end-of-directory record: it is no zip file, or was cut short");
  if (fields.u16(at + 4) !== 0 || fields.u16(at + 6) !== 0 || fields.u16(at + 8) !== fields.u16(at + 10)) {
    throw badZip(file, "is one part of a divided archive");
  }
  const short = { count: fields.u16(at + 10), size: fields.u32(at + 12), start: fields.u32(at + 16) };
  let place: DirectoryPlace = short;
  let directoryEnd = tailStart + at;
  if (at >= locatorSize && fields.u32(at - locatorSize) === 0x07064b50) {
    const long = await readEnd64(source, fields, at - locatorSize, tailStart);
    const agree = (a: number, b: number, full: number): boolean => a === full || a === b;
    if (
      !agree(short.count, long.count, full16) ||
      !agree(short.size, long.size, full32) ||
      !agree(short.start, long.start, full32)
    ) {
      throw badZip(file, "its two end-of-directory records do not agree");
    }
    place = long;
    directoryEnd = long.at;
  }
  if (place.start + place.size !== directoryEnd) throw badZip(file, "its directory does not lie where it is said to");
  if (place.size > maxDirectoryBytes || place.count > maxEntries) {
    throw badZip(file, `states ${place.count} entries in ${place.size} bytes, more than this reader takes`);
  }
  return place;
}

async function readEnd64(
  source: RandomAccess,
  tail: Fields,
  locator: number,
  tailStart: number,
): Promise<DirectoryPlace & { at: number }> {
  const at = tail.u64(locator + 8);
  if (at + end64Size !== tailStart + locator || tail.u32(locator + 4) !== 0 || tail.u32(locator + 16) !== 1) {
    throw badZip(source.name, "its ZIP64 end-of-directory record does not lie where it is said to");
  }
  const fields = new Fields(await readBytes(source, at, end64Size));
  if (
    fields.u32(0) !== 0x06064b50 ||
    fields.u64(4) !== end64Size - 12 ||
    fields.u32(16) !== 0 ||
    fields.u32(20) !== 0 ||
    fields.u64(24) !== fields.u64(32)
  ) {
    throw badZip(source.name, "its ZIP64 end-of-directory record is damaged");
  }
  return { at, count: fields.u64(32), size: fields.u64(40), start: fields.u64(48) };
}

function parseDirectory(bytes: Uint8Array, { start, count }: DirectoryPlace, file: string): Listed[] {
  const fields = new Fields(bytes);
  const listed: Listed[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + centralSize > bytes.length || fields.u32(at) !== 0x02014b50) {
      throw badZip(file, `entry ${i} of its directory is damaged`);
    }
    const nameEnd = at + centralSize + fields.u16(at + 28);
    const extraEnd = nameEnd + fields.u16(at + 30);
    const next = extraEnd + fields.u16(at + 32);
    if (next > bytes.length) throw badZip(file, `entry ${i} of its directory is cut short`);
    const rawName = bytes.subarray(at + centralSize, nameEnd);
    const name = decodeUtf8(rawName, `${file}: name of entry ${i}`);
    const flags = fields.u16(at + 8);
    const method = fields.u16(at + 10);
    const refuse = (what: string): never => {
      throw badZip(file, `entry ${quote(name)} ${what}`);
    };
    if (flags & encrypted) refuse("is encrypted");
    if (fields.u16(at + 34) !== 0) refuse("lies in another part of a divided archive");
    const [unpacked = 0, size = 0, offset = 0] = widen(
      [fields.u32(at + 24), fields.u32(at + 20), fields.u32(at + 42)],
      bytes.subarray(nameEnd, extraEnd),
      () => refuse("has damaged extra fields"),
    );
    if (method === 0 && size !== unpacked) refuse(`is stored, yet states ${size} bytes for a content of ${unpacked}`);
    if (offset + localSize + rawName.length + size > start) refuse("ends beyond the directory's start");
    listed.push({ name, rawName, flags, method, size, unpacked, at: offset });
    at = next;
  }
  if (at !== bytes.length) throw badZip(file, "its directory holds more than its entries");
  return listed;
}

// Values that fill their 32 bits are found, in this order, in the ZIP64 field.
function widen(values: readonly number[], extra: Uint8Array, damaged: () => never): number[] {
  const fields = new Fields(extra);
  let wide: { at: number; end: number } | undefined;
  for (let at = 0; at < extra.length; ) {
    if (at + 4 > extra.length) damaged();
    const end = at + 4 + fields.u16(at + 2);
    if (end > extra.length) damaged();
    if (fields.u16(at) === 1) {
      if (wide) damaged();
      wide = { at: at + 4, end };
    }
    at = end;
  }
  return values.map((value) => {
    if (value !== full32) return value;
    if (!wide || wide.at + 8 > wide.end) return damaged();
    wide.at += 8;
    return fields.u64(wide.at - 8);
  });
}

async function contentOffset(source: RandomAccess, entry: Listed): Promise<number> {
  const refuse = (what: string): never => {
    throw badZip(source.name, `entry ${quote(entry.name)} ${what}`);
  };
  const fields = new Fields(await readBytes(source, entry.at, localSize));
  if (fields.u32(0) !== 0x04034b50) refuse("does not begin where the directory says");
  const nameLength = fields.u16(26);
  const extraLength = fields.u16(28);
  const offset = entry.at + localSize + nameLength + extraLength;
  const differs = (): never => refuse("is described in one way in the directory and in another where it lies");
  if (fields.u16(6) !== entry.flags || fields.u16(8) !== entry.method || nameLength !== entry.rawName.length) differs();
  if (offset > source.size) refuse("begins beyond the end of the file");
  const rest = await readBytes(source, entry.at + localSize, nameLength + extraLength);
  if (entry.rawName.some((byte, i) => byte !== rest[i])) differs();
  const raw = [fields.u32(22), fields.u32(18)];
  // Sizes that were not known when the entry was begun are 0 here and follow the content.
  if (entry.flags & sizesFollow && raw.every((value) => value === 0)) return offset;
  const sizes = widen(raw, rest.subarray(nameLength), () => refuse("has damaged extra fields"));
  if (sizes[0] !== entry.unpacked || sizes[1] !== entry.size) differs();
  return offset;
}
