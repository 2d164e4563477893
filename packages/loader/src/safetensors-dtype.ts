// Element types of safetensors files and what their bytes mean. Formats: IEEE 754 for F64, F32, F16; bfloat16 is the
// upper half of a float32; the two 8-bit formats are those of "FP8 Formats for Deep Learning" (arXiv 2209.05433):
// E5M2 follows IEEE, E4M3 (the "fn" form) has no infinities and one NaN per sign.
import { fromHalfBits } from "@caramba/tensor";

/** Element types that can be read and written, by their names in the file. */
export type SafetensorsDType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "F8_E4M3"
  | "F8_E5M2"
  | "I64"
  | "U64"
  | "I32"
  | "U32"
  | "I16"
  | "U16"
  | "I8"
  | "U8"
  | "BOOL";

/** Arrays that carry tensor data; F16, BF16 and F8 travel as their raw bits. */
export type TensorArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

interface DTypeInfo {
  readonly bytes: number;
  readonly view: (buffer: ArrayBuffer, offset: number, length: number) => TensorArray;
  readonly matches: (data: TensorArray) => boolean;
}

function carriedBy(type: {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, offset: number, length: number): TensorArray;
}): DTypeInfo {
  return {
    bytes: type.BYTES_PER_ELEMENT,
    view: (buffer, offset, length) => new type(buffer, offset, length),
    matches: (data) => data instanceof type,
  };
}

const dtypes: ReadonlyMap<string, DTypeInfo> = new Map<SafetensorsDType, DTypeInfo>([
  ["F64", carriedBy(Float64Array)],
  ["F32", carriedBy(Float32Array)],
  ["F16", carriedBy(Uint16Array)],
  ["BF16", carriedBy(Uint16Array)],
  ["F8_E4M3", carriedBy(Uint8Array)],
  ["F8_E5M2", carriedBy(Uint8Array)],
  ["I64", carriedBy(BigInt64Array)],
  ["U64", carriedBy(BigUint64Array)],
  ["I32", carriedBy(Int32Array)],
  ["U32", carriedBy(Uint32Array)],
  ["I16", carriedBy(Int16Array)],
  ["U16", carriedBy(Uint16Array)],
  ["I8", carriedBy(Int8Array)],
  ["U8", carriedBy(Uint8Array)],
  ["BOOL", carriedBy(Uint8Array)],
]);

/** Whether `name` is an element type this package reads. */
export function isSafetensorsDType(name: string): name is SafetensorsDType {
  return dtypes.has(name);
}

/** The names of all element types, for messages. */
export function safetensorsDTypes(): SafetensorsDType[] {
  return [...dtypes.keys()].filter(isSafetensorsDType);
}

/** Bytes per element. */
export function safetensorsBytes(dtype: SafetensorsDType): number {
  return info(dtype).bytes;
}

/** `length` elements of `dtype` over a buffer (no copy). */
export function viewAs(dtype: SafetensorsDType, buffer: ArrayBuffer, offset = 0, length?: number): TensorArray {
  const { bytes, view } = info(dtype);
  return view(buffer, offset, length ?? (buffer.byteLength - offset) / bytes);
}

/** Whether `data` is the kind of array that carries `dtype`. */
export function carries(data: TensorArray, dtype: SafetensorsDType): boolean {
  return info(dtype).matches(data);
}

/** Whether values of this type are real numbers that `toFloat32` converts. */
export function isFloatDType(dtype: SafetensorsDType): boolean {
  return dtype.startsWith("F") || dtype === "BF16";
}

/**
 * Writes the values that `data` (of a float dtype) stands for into `target` from `at` on. F64 rounds to nearest;
 * everything else is exact.
 */
export function toFloat32(data: TensorArray, dtype: SafetensorsDType, target: Float32Array, at = 0): void {
  if (dtype === "F32" || dtype === "F64") {
    target.set(data as Float32Array | Float64Array, at);
    return;
  }
  const bits = data as Uint16Array | Uint8Array;
  if (dtype === "BF16") {
    // A bfloat16 is the upper half of the float32 with the same value.
    const words = new Uint32Array(target.buffer, target.byteOffset, target.length);
    for (let i = 0; i < bits.length; i++) words[at + i] = (bits[i] as number) << 16;
    return;
  }
  const table = valueTable(dtype);
  for (let i = 0; i < bits.length; i++) target[at + i] = table[bits[i] as number] as number;
}

const tables = new Map<SafetensorsDType, Float32Array>();

function valueTable(dtype: SafetensorsDType): Float32Array {
  const known = tables.get(dtype);
  if (known) return known;
  const decode = { F16: fromHalfBits, F8_E4M3: fromE4M3, F8_E5M2: (bits: number) => fromHalfBits(bits << 8) };
  if (!(dtype in decode)) throw new Error(`${dtype} has no float table`);
  const size = dtype === "F16" ? 65536 : 256;
  const table = Float32Array.from({ length: size }, (_, bits) => decode[dtype as keyof typeof decode](bits));
  tables.set(dtype, table);
  return table;
}

function fromE4M3(bits: number): number {
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >>> 3) & 0xf;
  const fraction = bits & 7;
  if (exponent === 15 && fraction === 7) return Number.NaN;
  if (exponent === 0) return (sign * fraction) / 512;
  return sign * (1 + fraction / 8) * 2 ** (exponent - 7);
}

/** bfloat16 bits of float32 values, rounded to nearest even; NaN stays NaN. */
export function f32ToBf16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    const notANumber = (word & 0x7fffffff) > 0x7f800000;
    // Rounding could carry a NaN's fraction into zero, which would make it an infinity.
    out[i] = notANumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

function info(dtype: SafetensorsDType): DTypeInfo {
  const found = dtypes.get(dtype);
  if (!found) throw new Error(`unknown dtype ${dtype}`);
  return found;
}
