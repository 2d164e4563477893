// Element types and the host arrays that carry them. float16 travels as its raw bits in a Uint16Array, because
// Node 20 has no Float16Array; bool travels as a Uint8Array of 0 and 1.

/** Element type of a tensor. */
export type DType = "float32" | "float16" | "int32" | "uint8" | "int8" | "bool";

/** Host storage: Float32Array, Uint16Array (float16 bits), Int32Array, Uint8Array (uint8, bool) or Int8Array. */
export type HostArray = Float32Array | Uint16Array | Int32Array | Uint8Array | Int8Array;

const bytes: Record<DType, number> = { float32: 4, float16: 2, int32: 4, uint8: 1, int8: 1, bool: 1 };

/** Bytes per element. */
export function dtypeBytes(dtype: DType): number {
  return bytes[dtype];
}

/** Whether gradients can flow through values of this type. */
export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float16";
}

/** A zero-filled host array for `size` elements. */
export function allocHost(dtype: DType, size: number): HostArray {
  switch (dtype) {
    case "float32":
      return new Float32Array(size);
    case "float16":
      return new Uint16Array(size);
    case "int32":
      return new Int32Array(size);
    case "int8":
      return new Int8Array(size);
    case "uint8":
    case "bool":
      return new Uint8Array(size);
    default:
      return dtype satisfies never;
  }
}

/** Whether `data` is the kind of array that carries `dtype`. */
export function isHostArrayOf(data: HostArray, dtype: DType): boolean {
  switch (dtype) {
    case "float32":
      return data instanceof Float32Array;
    case "float16":
      return data instanceof Uint16Array;
    case "int32":
      return data instanceof Int32Array;
    case "int8":
      return data instanceof Int8Array;
    case "uint8":
    case "bool":
      return data instanceof Uint8Array;
    default:
      return dtype satisfies never;
  }
}

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** IEEE 754 binary16 bits of a number, rounded to nearest even; overflow gives infinity, NaN stays NaN. */
export function toHalfBits(value: number): number {
  scratchFloat[0] = value;
  let bits = scratchBits[0] as number;
  const single = scratchFloat[0] as number;
  if (single !== value && !Number.isNaN(value)) {
    // Not a float32: round to odd, towards zero with the last bit set, so that the rounding below is the only one.
    if (Math.abs(single) > Math.abs(value)) bits--;
    bits |= 1;
  }
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return magnitude > 0x7f800000 ? sign | 0x7e00 : sign | 0x7c00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal in half precision: multiples of 2^-24.
    const scaled = Math.abs(value) * 2 ** 24;
    const floor = Math.floor(scaled);
    const rest = scaled - floor;
    const rounded = rest > 0.5 || (rest === 0.5 && (floor & 1) === 1) ? floor + 1 : floor;
    return sign | rounded;
  }
  const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1);
  return sign | (rounded >>> 13);
}

/** The number that binary16 bits stand for. */
export function fromHalfBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** float32 values to float16 bits. */
export function f32ToF16(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = toHalfBits(values[i] as number);
  return out;
}

let halfTable: Float32Array | undefined;

/** float16 bits to float32 values (exact). */
export function f16ToF32(bits: Uint16Array): Float32Array {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, i) => fromHalfBits(i));
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = halfTable[bits[i] as number] as number;
  return out;
}
