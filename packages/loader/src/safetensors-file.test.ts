// The reader against files written by Python's safetensors, numpy and ml_dtypes (fixtures/loader/generate.py).

import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memorySource } from "@caramba/files";
import { afterAll, describe, expect, it } from "vitest";
import { buildFile } from "../test-support/build-file.ts";
import { fixtureJson, fixturePath } from "../test-support/fixture.ts";
import { f32ToBf16 } from "./safetensors-dtype.ts";
import { SafetensorsFile } from "./safetensors-file.ts";
import { writeSafetensors } from "./safetensors-write.ts";

const fixture = fixturePath("dtypes.safetensors");
const folder = await mkdtemp(join(tmpdir(), "caramba-loader-"));
afterAll(() => rm(folder, { recursive: true }));

describe("a file from Python", () => {
  const { shapes, float32, integers } = fixtureJson<{
    shapes: Record<string, number[]>;
    float32: Record<string, (number | string)[]>;
    integers: Record<string, string[]>;
  }>("dtypes.expected.json");

  it("has the tensors, shapes and metadata that were written", async () => {
    const file = await SafetensorsFile.open(fixture);
    expect([...file.names].sort()).toEqual(Object.keys(shapes).sort());
    for (const [name, shape] of Object.entries(shapes)) expect(file.info(name).shape).toEqual(shape);
    expect(Object.fromEntries(file.metadata)).toEqual({ "made by": "générateur ✓" });
    await file.close();
  });

  it.each(Object.entries(float32))("%s means the same numbers", async (name, expected) => {
    const file = await SafetensorsFile.open(fixture);
    const numbers = expected.map(Number);
    const found = await file.readFloat32(name);
    expect(found).toBeInstanceOf(Float32Array);
    expect([...found]).toEqual([...Float32Array.from(numbers)]);
    await file.close();
  });

  it.each(Object.entries(integers))("%s holds the same integers", async (name, expected) => {
    const file = await SafetensorsFile.open(fixture);
    const { dtype, data } = await file.read(name);
    expect(dtype).toBe(name.toUpperCase());
    expect(Array.from<number | bigint, string>(data, String)).toEqual(expected);
    await expect(file.readFloat32(name)).rejects.toMatchObject({ code: "wrong-dtype" });
    await file.close();
  });
});

it("rounds float32 to bfloat16 as ml_dtypes does", () => {
  const roundings = fixtureJson<{ float32: number[]; bf16: number[] }>("bf16.expected.json");
  const values = new Float32Array(Uint32Array.from(roundings.float32).buffer);
  expect([...f32ToBf16(values)]).toEqual(roundings.bf16);
  const nan = new Float32Array(Uint32Array.of(0x7f800001, 0xffffffff).buffer);
  for (const bits of f32ToBf16(nan)) expect(bits & 0x7fff).toBeGreaterThan(0x7f80);
});

it("converts tensors larger than one chunk without losing its place", async () => {
  const path = join(folder, "large.safetensors");
  const values = Float32Array.from({ length: 3_000_001 }, (_, i) => (i % 251) - 125);
  await writeSafetensors(path, { x: { dtype: "BF16", shape: [values.length], data: f32ToBf16(values) } });
  const file = await SafetensorsFile.open(path);
  const found = await file.readFloat32("x");
  expect(Buffer.compare(Buffer.from(found.buffer), Buffer.from(values.buffer))).toBe(0);
  await file.close();
});

describe("failures", () => {
  const refused = async (path: string): Promise<unknown> => SafetensorsFile.open(path).catch((error: unknown) => error);

  it("names a tensor that is not there", async () => {
    const file = await SafetensorsFile.open(fixture);
    await expect(file.read("wrong")).rejects.toMatchObject({
      code: "missing-tensor",
      message: `${fixture}: no tensor "wrong"`,
    });
    await file.close();
  });

  it("turns matrices alone", async () => {
    const header =
      '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1,2,1],"data_offsets":[8,16]}}';
    const file = await SafetensorsFile.from(memorySource(buildFile(header, 16), "f"));
    for (const name of ["a", "b"]) {
      await expect(file.readFloat32(name, "transposed")).rejects.toMatchObject({
        code: "wrong-shape",
        message: expect.stringMatching(`f: tensor "${name}" .* is no matrix`),
      });
    }
  });

  it("says what is wrong with the path", async () => {
    expect(await refused(join(folder, "none"))).toMatchObject({ code: "missing-file" });
    expect(await refused(folder)).toMatchObject({ code: "not-a-file" });
  });

  it("notices that a file was cut short before or after it was opened", async () => {
    const path = join(folder, "cut.safetensors");
    const tensor = { dtype: "F32", shape: [100], data: new Float32Array(100) } as const;
    await writeSafetensors(path, { x: tensor });
    const file = await SafetensorsFile.open(path);
    await truncate(path, 300);
    await expect(file.read("x")).rejects.toMatchObject({ code: "truncated-file" });
    await file.close();
    expect(await refused(path)).toMatchObject({ code: "bad-safetensors", message: expect.stringMatching(/cut short/) });
  });

  it("notices changed bytes by the checksum, whole or in chunks", async () => {
    const path = join(folder, "changed.safetensors");
    await writeSafetensors(path, {
      a: { dtype: "F16", shape: [4], data: Uint16Array.of(1, 2, 3, 4) },
      b: { dtype: "F16", shape: [4], data: Uint16Array.of(1, 2, 3, 4) },
    });
    const file = await SafetensorsFile.open(path);
    const end = file.info("b").offset + 7;
    await file.close();
    const bytes = new Uint8Array(await readFile(path));
    bytes[end] = (bytes[end] as number) ^ 0x40;
    await writeFile(path, bytes);
    const changed = await SafetensorsFile.open(path);
    expect((await changed.read("a")).data).toEqual(Uint16Array.of(1, 2, 3, 4));
    for (const read of [changed.read("b"), changed.readFloat32("b")]) {
      await expect(read).rejects.toMatchObject({
        code: "bad-safetensors",
        message: expect.stringMatching(/"b".*checksum/),
      });
    }
    await changed.close();
  });

  it("refuses a BOOL that is neither true nor false", async () => {
    const header = '{"x":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}';
    const bytes = new Uint8Array(8 + header.length + 2);
    bytes[0] = header.length;
    bytes.set(new TextEncoder().encode(header), 8);
    bytes[bytes.length - 1] = 2;
    const file = await SafetensorsFile.from(memorySource(bytes));
    await expect(file.read("x")).rejects.toMatchObject({ code: "bad-safetensors" });
  });
});
