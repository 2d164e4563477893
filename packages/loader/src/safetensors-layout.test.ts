// Layouts of tensors in a safetensors file, whose soundness is decided by counting, byte by byte.
import { memorySource } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import fc from "fast-check";
import { expect, it } from "vitest";
import { buildFile } from "../test-support/build-file.ts";
import { SafetensorsFile } from "./safetensors-file.ts";

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
