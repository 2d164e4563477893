// Tens of thousands of damaged files, held in memory: each opens with every tensor in bounds or is refused with a
// CarambaError; and a generator of layouts whose soundness is decided by counting, byte by byte.
import { CarambaError } from "@caramba/tensor";
import fc from "fast-check";
import { expect, it } from "vitest";
import { buildFile } from "../test-support/build-file.ts";
import { memorySource, type RandomAccess } from "./random-access.ts";
import { SafetensorsFile } from "./safetensors-file.ts";

const entry = (shape: string, begin: number, end: number, dtype: string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

// A reader that counts what is asked of it stands in for the disk.
function watched(bytes: Uint8Array): RandomAccess & { largest: number } {
  const inner = memorySource(bytes, "fuzz");
  return {
    ...inner,
    largest: 0,
    async read(offset, target) {
      this.largest = Math.max(this.largest, target.length);
      if (!Number.isSafeInteger(offset) || offset < 0 || offset + target.length > bytes.length) {
        throw new RangeError(`read outside: ${offset} + ${target.length} of ${bytes.length}`);
      }
      await inner.read(offset, target);
    },
  };
}

const seedFile = buildFile(
  `{"__metadata__":{"format":"pt"},"a":${entry("[2,3]", 0, 24, "F32")},"b.c":${entry("[5]", 24, 34, "BF16")},"e":${entry("[0,7]", 34, 34, "I64")},"q":${entry("[4]", 34, 38, "F8_E4M3")},"z":${entry("[2]", 38, 40, "BOOL")}}`,
  40,
);
const headerEnd = seedFile.length - 40;
const tokens = [
  "{",
  "}",
  "[",
  "]",
  ":",
  ",",
  '"',
  "\\",
  "-",
  ".",
  "e9",
  "0",
  "1",
  "24",
  "34",
  "9007199254740993",
  "4294967296",
  "1e400",
];
const words = [
  ...tokens,
  '"a"',
  '"dtype"',
  '"shape"',
  '"data_offsets"',
  '"F64"',
  '"I8"',
  "null",
  "\u0000",
  "é",
  '"__proto__"',
  '"__metadata__"',
];

const mutation: fc.Arbitrary<(bytes: Uint8Array) => Uint8Array> = fc.oneof(
  // One byte anywhere, one bit in the length, text in the header replaced by a token, a cut, and added bytes.
  fc.tuple(fc.nat(seedFile.length - 1), fc.nat(255)).map(([at, value]) => (bytes: Uint8Array) => {
    const copy = bytes.slice();
    if (at < copy.length) copy[at] = value;
    return copy;
  }),
  fc.tuple(fc.nat(63)).map(([bit]) => (bytes: Uint8Array) => {
    const copy = bytes.slice();
    if (copy.length >= 8) copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
    return copy;
  }),
  fc
    .tuple(fc.integer({ min: 8, max: headerEnd }), fc.nat(12), fc.constantFrom(...words), fc.boolean())
    .map(([at, length, word, keepLength]) => (bytes: Uint8Array) => {
      const put = new TextEncoder().encode(word);
      const out = new Uint8Array([...bytes.slice(0, at), ...put, ...bytes.slice(at + length)]);
      if (keepLength || out.length < 8) return out;
      // The stated length follows the change, so that the header itself is put to the test.
      const view = new DataView(out.buffer);
      view.setBigUint64(0, BigInt.asUintN(64, view.getBigUint64(0, true) + BigInt(put.length - length)), true);
      return out;
    }),
  fc.nat(seedFile.length).map((length) => (bytes: Uint8Array) => bytes.slice(0, length)),
  fc.uint8Array({ maxLength: 9 }).map((more) => (bytes: Uint8Array) => new Uint8Array([...bytes, ...more])),
);

// Numbers in the header, swapped for others of the same width: most of these parse, and must then be in bounds.
const digits: fc.Arbitrary<(bytes: Uint8Array) => Uint8Array> = fc
  .array(fc.tuple(fc.nat(), fc.integer({ min: 48, max: 57 })), { minLength: 1, maxLength: 3 })
  .map((changes) => (bytes: Uint8Array) => {
    const copy = bytes.slice();
    const places = [...copy.keys()].filter(
      (i) => i >= 8 && i < headerEnd && (copy[i] as number) >= 48 && (copy[i] as number) <= 57,
    );
    for (const [pick, digit] of changes) {
      const place = places[pick % (places.length || 1)];
      if (place !== undefined) copy[place] = digit;
    }
    return copy;
  });

it("survives 24,000 mutations: each opens with every tensor in bounds, or is refused with a reason", async () => {
  let opened = 0;
  let refused = 0;
  const check = async (bytes: Uint8Array): Promise<void> => {
    const source = watched(bytes);
    try {
      const file = await SafetensorsFile.from(source);
      opened++;
      let total = 0;
      for (const name of file.names) {
        const { offset, byteLength, shape } = file.info(name);
        expect(offset + byteLength).toBeLessThanOrEqual(bytes.length);
        expect(shape.every((size) => Number.isSafeInteger(size) && size >= 0)).toBe(true);
        total += byteLength;
        const { data } = await file.read(name);
        expect(data.byteLength).toBe(byteLength);
        expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
      }
      expect(total).toBeLessThan(bytes.length);
    } catch (error) {
      if (!(error instanceof CarambaError)) throw error;
      expect(error.remedy).toBeTruthy();
      refused++;
    }
    expect(source.largest).toBeLessThanOrEqual(bytes.length);
  };
  await check(seedFile);
  expect({ opened, refused }).toEqual({ opened: 1, refused: 0 });
  const mutated = fc
    .array(fc.oneof({ arbitrary: mutation, weight: 2 }, digits), { minLength: 1, maxLength: 3 })
    .map((steps) => steps.reduce((bytes, step) => step(bytes), seedFile));
  await fc.assert(fc.asyncProperty(mutated, check), { numRuns: 24_000, endOnFailure: true });
  // The mutations reach both sides of the decision.
  expect(opened).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(10_000);
}, 120_000);

interface Planned {
  name: string;
  shape: number[];
  begin: number;
  end: number;
}

// Honest one-byte tensors laid end to end, then up to two of all the numbers changed.
const layouts: fc.Arbitrary<{ tensors: Planned[]; size: number }> = fc
  .tuple(
    fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }), { minLength: 1, maxLength: 4 }),
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: -2, max: 2 })), { maxLength: 2 }),
    fc.oneof({ arbitrary: fc.constant(0), weight: 9 }, fc.integer({ min: -1, max: 1 })),
    fc.nat(),
  )
  .map(([shapes, changes, more, turn]) => {
    let at = 0;
    const tensors = shapes.map((shape, i): Planned => {
      const begin = at;
      at += shape.reduce((a, b) => a * b, 1);
      return { name: `t${i}`, shape: [...shape], begin, end: at };
    });
    for (const [pick, delta] of changes) {
      const tensor = tensors[pick % tensors.length] as Planned;
      const slot = Math.floor(pick / tensors.length) % (tensor.shape.length + 2);
      if (slot === 0) tensor.begin += delta;
      else if (slot === 1) tensor.end += delta;
      else tensor.shape[slot - 2] = (tensor.shape[slot - 2] as number) + delta;
    }
    const start = turn % tensors.length;
    return { tensors: [...tensors.slice(start), ...tensors.slice(0, start)], size: Math.max(0, at + more) };
  });

// Each byte of the data is claimed by exactly one tensor, and each tensor claims as many as its shape needs.
function isSound({ tensors, size }: { tensors: Planned[]; size: number }): boolean {
  const claims = new Array<number>(size).fill(0);
  for (const { shape, begin, end } of tensors) {
    if (begin < 0 || end < begin || end > size || shape.some((n) => n < 0)) return false;
    if (shape.reduce((a, b) => a * b, 1) !== end - begin) return false;
    for (let i = begin; i < end; i++) claims[i] = (claims[i] as number) + 1;
    // An empty tensor may stand between others, not inside one.
    if (begin === end && tensors.some((other) => other.begin < begin && begin < other.end)) return false;
  }
  return claims.every((count) => count === 1);
}

it("accepts exactly the layouts in which each byte belongs to one tensor", async () => {
  const counts = { sound: 0, unsound: 0 };
  await fc.assert(
    fc.asyncProperty(layouts, async (layout) => {
      const members = layout.tensors.map(
        ({ name, shape, begin, end }) => `"${name}":{"dtype":"I8","shape":[${shape}],"data_offsets":[${begin},${end}]}`,
      );
      const bytes = buildFile(`{${members.join(",")}}`, layout.size);
      const outcome = await SafetensorsFile.from(memorySource(bytes)).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof CarambaError)) throw error;
          return false;
        },
      );
      expect(outcome).toBe(isSound(layout));
      counts[outcome ? "sound" : "unsound"]++;
    }),
    { numRuns: 6000 },
  );
  expect(counts.sound).toBeGreaterThan(1000);
  expect(counts.unsound).toBeGreaterThan(1000);
});
