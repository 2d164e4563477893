import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  allocHost,
  type DType,
  dtypeBytes,
  f16ToF32,
  f32ToF16,
  fromHalfBits,
  isHostArrayOf,
  toHalfBits,
} from "./dtype.ts";

/** What binary16 bits mean, by the definition in IEEE 754, with a DataView-free formula of its own. */
function halfByDefinition(bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = Math.floor(bits / 1024) % 32;
  const fraction = bits % 1024;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return (sign * fraction) / 2 ** 24;
  return (sign * (1024 + fraction) * 2 ** exponent) / 2 ** 25;
}

/** All finite non-negative halves: their bits are their index. */
const halves = Array.from({ length: 0x7c00 }, (_, bits) => halfByDefinition(bits));

/** Rounding by search: the nearest half, the even one at ties; beyond the middle of the last step, infinity. */
function roundBySearch(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const x = Math.abs(value);
  let [low, high] = [0, halves.length - 1];
  if (x >= 65520) return sign | 0x7c00;
  if (x >= (halves[high] as number)) return sign | high;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((halves[middle] as number) <= x) low = middle;
    else high = middle;
  }
  const [below, above] = [x - (halves[low] as number), (halves[high] as number) - x];
  if (below === above) return sign | (low % 2 === 0 ? low : high);
  return sign | (below < above ? low : high);
}

describe("half precision", () => {
  test("all 65536 bit patterns mean what IEEE 754 says, and come back", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const values = f16ToF32(all);
    const back = f32ToF16(values);
    let wrong = 0;
    for (let bits = 0; bits < 65536; bits++) {
      const expected = halfByDefinition(bits);
      if (!Object.is(values[bits], expected) || !Object.is(fromHalfBits(bits), expected)) wrong++;
      const nan = Number.isNaN(expected);
      if (nan ? ((back[bits] as number) & 0x7fff) <= 0x7c00 : back[bits] !== bits) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test("numbers round to the nearest half, ties to even: float64 values too", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.double({ min: -70000, max: 70000 }), fc.double({ min: -1e-4, max: 1e-4 }), fc.float(), fc.double()),
        (value) => {
          if (Number.isNaN(value)) expect(toHalfBits(value) & 0x7fff).toBeGreaterThan(0x7c00);
          else expect(toHalfBits(value)).toBe(roundBySearch(value));
        },
      ),
      { numRuns: 20_000, seed: 1 },
    );
  });

  test("every midpoint between neighbours goes to the even one, and a hair beside it to the nearer one", () => {
    let wrong = 0;
    for (let bits = 0; bits < 0x7bff; bits++) {
      const [low, high] = [halves[bits] as number, halves[bits + 1] as number];
      const middle = (low + high) / 2;
      const hair = middle * 2 ** -50;
      if (toHalfBits(middle) !== (bits % 2 === 0 ? bits : bits + 1)) wrong++;
      if (toHalfBits(middle + hair) !== bits + 1 || toHalfBits(middle - hair) !== bits) wrong++;
      if (toHalfBits(-middle - hair) !== (0x8000 | (bits + 1))) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test("the ends of the range", () => {
    expect(toHalfBits(65504)).toBe(0x7bff);
    expect(toHalfBits(65519.999)).toBe(0x7bff);
    expect(toHalfBits(65520)).toBe(0x7c00);
    expect(toHalfBits(1e300)).toBe(0x7c00);
    expect(toHalfBits(-1e300)).toBe(0xfc00);
    expect(toHalfBits(2 ** -25)).toBe(0);
    expect(toHalfBits(2 ** -25 * 1.0001)).toBe(1);
    expect(toHalfBits(-0)).toBe(0x8000);
    expect(toHalfBits(1e-300)).toBe(0);
  });
});

test("each dtype has its array, and no other dtype's array passes for it", () => {
  const arrays: Record<DType, string> = {
    float32: "Float32Array",
    float16: "Uint16Array",
    int32: "Int32Array",
    uint8: "Uint8Array",
    int8: "Int8Array",
    bool: "Uint8Array",
  };
  const dtypes = Object.keys(arrays) as DType[];
  for (const dtype of dtypes) {
    const array = allocHost(dtype, 3);
    expect(array.constructor.name).toBe(arrays[dtype]);
    expect(array.byteLength).toBe(3 * dtypeBytes(dtype));
    expect([...array]).toEqual([0, 0, 0]);
    for (const other of dtypes) expect(isHostArrayOf(array, other), other).toBe(arrays[other] === arrays[dtype]);
  }
});
