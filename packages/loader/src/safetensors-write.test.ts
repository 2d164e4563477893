import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WritableHandle } from "@caramba/files";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { type SafetensorsDType, safetensorsBytes, safetensorsDTypes, viewAs } from "./safetensors-dtype.ts";
import { SafetensorsFile, type TensorData } from "./safetensors-file.ts";
import { writeSafetensors } from "./safetensors-write.ts";

const root = await mkdtemp(join(tmpdir(), "caramba-write-"));
afterAll(() => rm(root, { recursive: true }));
let folders = 0;
async function newFolder(): Promise<string> {
  const folder = join(root, String(folders++));
  await mkdir(folder);
  return folder;
}

const one = { x: { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } } as const;

const tensor: fc.Arbitrary<TensorData> = fc
  .tuple(fc.constantFrom(...safetensorsDTypes()), fc.array(fc.nat(4), { maxLength: 3 }), fc.nat())
  .map(([dtype, shape, seed]: [SafetensorsDType, number[], number]) => {
    const bytes = new Uint8Array(shape.reduce((a, b) => a * b, 1) * safetensorsBytes(dtype));
    for (let i = 0; i < bytes.length; i++)
      bytes[i] = dtype === "BOOL" ? (seed >> (i % 30)) & 1 : (seed * 31 + i * 97) & 255;
    return { dtype, shape, data: viewAs(dtype, bytes.buffer) };
  });

describe("writeSafetensors", () => {
  it("reads back bit for bit what was written, whatever the names, dtypes and shapes", async () => {
    const folder = await newFolder();
    const path = join(folder, "f.safetensors");
    const names = fc
      .string({ unit: "grapheme", maxLength: 12 })
      .filter((name) => name !== "__metadata__" && name !== "__proto__");
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(names, tensor, { noNullPrototype: true }),
        fc.dictionary(names, fc.string({ unit: "grapheme" }), { noNullPrototype: true }),
        fc.boolean(),
        async (tensors, metadata, checksums) => {
          await writeSafetensors(path, tensors, { metadata, checksums });
          const file = await SafetensorsFile.open(path);
          expect([...file.names].sort()).toEqual(Object.keys(tensors).sort());
          for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
            const found = await file.read(name);
            expect(found.dtype).toBe(dtype);
            expect(found.shape).toEqual(shape);
            expect(Buffer.from(found.data.buffer)).toEqual(Buffer.from(data.buffer));
            expect(file.info(name).offset % safetensorsBytes(dtype)).toBe(0);
            expect(file.info(name).crc32 !== undefined).toBe(checksums);
          }
          for (const [key, value] of Object.entries(metadata)) expect(file.metadata.get(key)).toBe(value);
          await file.close();
        },
      ),
      { numRuns: 150 },
    );
  });

  it("gives the same bytes for the same content in any order, from memory or deferred", async () => {
    const folder = await newFolder();
    const y = { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) } as const;
    await writeSafetensors(join(folder, "a"), { ...one, y, z: y }, { metadata: { p: "1", q: "2" } });
    const later = { dtype: "U8", shape: [3], load: async () => y.data } as const;
    await writeSafetensors(join(folder, "b"), { z: later, y, ...one }, { metadata: { q: "2", p: "1" } });
    expect(await readFile(join(folder, "b"))).toEqual(await readFile(join(folder, "a")));
  });

  it("writes views that do not begin at their buffer's start", async () => {
    const path = join(await newFolder(), "f");
    const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
    await writeSafetensors(path, { x: { dtype: "F32", shape: [2], data } });
    const file = await SafetensorsFile.open(path);
    expect((await file.read("x")).data).toEqual(Float32Array.of(1, 2));
    await file.close();
  });

  it.each<[string, Record<string, TensorData>, RegExp]>([
    ["too few elements", { x: { dtype: "F32", shape: [3], data: new Float32Array(2) } }, /"x": shape \[3\] needs 3/],
    [
      "the wrong array",
      { x: { dtype: "F16", shape: [2], data: new Float32Array(2) } },
      /Float32Array does not carry F16/,
    ],
    ["a negative size", { x: { dtype: "F32", shape: [-1], data: new Float32Array(1) } }, /not a shape/],
    ["the reserved name", { __metadata__: one.x }, /cannot be a tensor's name/],
    ["half a surrogate pair", { "\ud800": one.x }, /cannot be a tensor's name/],
    ["a BOOL of 2", { x: { dtype: "BOOL", shape: [1], data: Uint8Array.of(2) } }, /neither 0 nor 1/],
  ])("refuses %s and leaves nothing", async (_, tensors, message) => {
    const folder = await newFolder();
    await expect(writeSafetensors(join(folder, "f"), tensors)).rejects.toMatchObject({
      code: "invalid-tensor",
      message: expect.stringMatching(message),
    });
    expect(await readdir(folder)).toEqual([]);
  });
});

// A disk that fails at the nth call.
function failingDisk(code: string, after: number, calls: string[]): () => Promise<WritableHandle> {
  let left = after;
  const step = (what: string): void => {
    calls.push(what);
    if (left-- <= 0) throw Object.assign(new Error(`${code}: simulated`), { code, syscall: what });
  };
  return async () => ({
    async write(_bytes, _offset, length) {
      step("write");
      return { bytesWritten: length };
    },
    async sync() {
      step("fsync");
    },
    async close() {
      calls.push("close");
    },
  });
}

describe("a write that fails", () => {
  it("says that the disk is full, closes, and leaves the old file as it was", async () => {
    const folder = await newFolder();
    const path = join(folder, "f");
    await writeSafetensors(path, one);
    const before = await readFile(path);
    for (const code of ["ENOSPC", "EDQUOT", "EFBIG"]) {
      for (let after = 0; after < 4; after++) {
        const calls: string[] = [];
        await expect(writeSafetensors(path, one, { create: failingDisk(code, after, calls) })).rejects.toMatchObject({
          name: "CarambaError",
          code: "disk-full",
          remedy: expect.stringMatching(/Free space/),
        });
        expect(calls.at(-1)).toBe("close");
      }
    }
    expect(await readFile(path)).toEqual(before);
  });

  it("removes the temporary file when its content fails half-way, and passes that error on", async () => {
    const folder = await newFolder();
    const path = join(folder, "f");
    const broken = {
      ...one,
      y: { dtype: "U8", shape: [1], load: () => Promise.reject(new Error("no more")) },
    } as const;
    await expect(writeSafetensors(path, broken)).rejects.toThrow("no more");
    expect(await readdir(folder)).toEqual([]);
  });
});
