// The reader against files that PyTorch wrote, and what PyTorch reads in them (fixtures/loader/generate_pt.py).

import { existsSync } from "node:fs";
import { copyFile, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memorySource, openFile, type RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { afterAll, describe, expect, it } from "vitest";
import { buildZip, type ZipPart } from "../test-support/build-zip.ts";
import { fixtureJson, fixturePath } from "../test-support/fixture.ts";
import { openHfModel } from "./hf-model.ts";
import { PyTorchFile, type PyTorchOptions } from "./pytorch-file.ts";
import { safetensorsBytes } from "./safetensors-dtype.ts";
import { openWeights } from "./weights.ts";

interface Expected {
  readonly dtype: string;
  readonly shape: number[];
  readonly float32?: (number | string)[];
  readonly integers?: string[];
}
const expected = fixtureJson<Record<string, Record<string, Expected>>>("pt/expected.json");
const names: Readonly<Record<string, string>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  float8_e4m3fn: "F8_E4M3",
  float8_e5m2: "F8_E5M2",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint64: "U64",
  uint32: "U32",
  uint16: "U16",
  uint8: "U8",
  bool: "BOOL",
};
const folder = await mkdtemp(join(tmpdir(), "caramba-pt-"));
afterAll(() => rm(folder, { recursive: true }));
const refusal = async (name: string, options?: PyTorchOptions): Promise<CarambaError> => {
  const error = await PyTorchFile.open(fixturePath(`pt/${name}`), options).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!(error instanceof CarambaError)) throw new Error(`${name} was not refused: ${error}`);
  expect(error.message).toContain(fixturePath(`pt/${name}`));
  expect(error.remedy).toBeTruthy();
  return error;
};

describe.each(Object.entries(expected))("%s", (file, tensors) => {
  it("has the names, dtypes and shapes that PyTorch reads", async () => {
    const source = await openWeights(fixturePath(`pt/${file}`));
    expect(source.names).toEqual(Object.keys(tensors));
    for (const [name, { dtype, shape }] of Object.entries(tensors)) {
      const info = source.info(name);
      expect(info).toMatchObject({ dtype: names[dtype], shape });
      expect(info.byteLength).toBe(shape.reduce((a, b) => a * b, 1) * safetensorsBytes(info.dtype));
    }
    await source.close();
  });

  it.each(Object.entries(tensors))("%s holds the same values", async (name, { shape, float32, integers }) => {
    const source = await openWeights(fixturePath(`pt/${file}`));
    const { data, shape: found } = await source.read(name);
    expect(found).toEqual(shape);
    if (integers) {
      expect(Array.from<number | bigint, string>(data, String)).toEqual(integers);
      await expect(source.readFloat32(name)).rejects.toMatchObject({ code: "wrong-dtype" });
    }
    if (float32) {
      const values = [...Float32Array.from(float32.map(Number))];
      expect([...(await source.readFloat32(name))]).toEqual(values);
      const [rows = 0, columns = 0] = shape;
      if (shape.length === 2) {
        const turned = Array.from(
          { length: values.length },
          (_, i) => values[(i % rows) * columns + Math.floor(i / rows)],
        );
        expect([...(await source.readFloat32(name, "transposed"))]).toEqual(turned);
      }
    }
    await source.close();
  });
});

it("says what else a state dict's file holds, and takes the entry it is told to", async () => {
  const path = fixturePath("pt/training.pt");
  const training = await PyTorchFile.open(path);
  expect(training.others).toEqual([]);
  const named = await PyTorchFile.open(fixturePath("pt/ambiguous.pt"), { key: "weights" });
  expect(named.names).toEqual(training.names);
  expect(await refusal("ambiguous.pt")).toMatchObject({
    code: "choose-key",
    message: expect.stringMatching(/it has "ema" \(a dict of 7\), "weights" \(a dict of 7\), "step" \(a number\)$/),
  });
  expect(await refusal("training.pt", { key: "optimizer" })).toMatchObject({ code: "choose-key" });
  expect(await refusal("training.pt", { key: "none" })).toMatchObject({ code: "choose-key" });
  await Promise.all([training.close(), named.close()]);
});

it("reads only the tensor that is asked for", async () => {
  const path = fixturePath("pt/views.pt");
  const inner = await openFile(path);
  let reads: [offset: number, length: number][] = [];
  const source: RandomAccess = {
    ...inner,
    read(offset, target) {
      reads.push([offset, target.length]);
      return inner.read(offset, target);
    },
  };
  const file = await PyTorchFile.from(source);
  const data = file.names.map((name) => file.info(name).offset);
  expect(reads.every(([offset, length]) => data.every((at) => at < offset || at >= offset + length))).toBe(false);
  reads = [];
  await file.readFloat32("same storage");
  expect(reads).toEqual([[file.info("base").offset + 80, 80]]);
  reads = [];
  // Every second of rows 1 and 3, every second of 5 columns: from the first to the last of them.
  await file.readFloat32("sliced");
  expect(reads).toEqual([[file.info("base").offset + 4 * 5, 4 * (2 * 20 + 2 * 5 + 4 + 1)]]);
  await file.close();
});

describe("refuses", () => {
  const part = (name: string, text = ""): ZipPart => ({ name, data: new TextEncoder().encode(text) });

  it("a file that runs a command in Python, naming it, and runs nothing", async () => {
    const error = await refusal("hostile.pt");
    expect(error).toMatchObject({ code: "unsafe-pickle" });
    expect(error.message).toMatch(/names the Python object "(?:posix|nt)\.system" \(byte [0-9]+\)/);
    expect(error.remedy).toMatch(/^Nothing of the file was run/);
    for (const place of [process.cwd(), fixturePath("pt"), folder]) {
      expect(existsSync(join(place, "caramba-was-here"))).toBe(false);
    }
    // The position is that of the opcode in the pickle, which begins after the archive's first header.
    const bytes = await readFile(fixturePath("pt/hostile.pt"));
    const [, at] = /byte ([0-9]+)/.exec(error.message) ?? [];
    expect(bytes.indexOf("cposix\nsystem") - bytes.indexOf("\x80\x02}", 0, "latin1")).toBe(Number(at));
  });

  it.each([
    ["legacy.pt", "unsupported-format", /PyTorch before 1\.6/],
    ["torchscript.pt", "unsupported-format", /TorchScript/],
    ["deflated.pt", "unsupported-format", /is compressed, which PyTorch never does/],
    ["bomb.pt", "unsupported-format", /is compressed/],
    ["complex.pt", "unsafe-pickle", /"torch\.ComplexFloatStorage"/],
    ["whole-module.pt", "unsafe-pickle", /"__main__\.Small"/],
    ["negated.pt", "bad-pytorch", /view that needs computing/],
    ["expanded.pt", "bad-pytorch", /expanded view/],
    ["tensor.pt", "bad-pytorch", /holds a tensor, not a state dict/],
    ["expected.json", "bad-pytorch", /not a PyTorch file/],
  ])("%s", async (name, code, message) => {
    expect(await refusal(name)).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("a file that is cut short, before or while it is read", async () => {
    const path = join(folder, "cut.pt");
    const whole = await readFile(fixturePath("pt/module.pt"));
    for (let length = 0; length < whole.length; length += 97) {
      await writeFile(path, whole.subarray(0, length));
      await expect(PyTorchFile.open(path)).rejects.toBeInstanceOf(CarambaError);
    }
    await copyFile(fixturePath("pt/module.pt"), path);
    const file = await PyTorchFile.open(path);
    await truncate(path, file.info("norm.bias").offset + 3);
    await expect(file.read("norm.bias")).rejects.toMatchObject({ code: "truncated-file" });
    await file.close();
  });

  it.each<[string, () => Uint8Array, string, RegExp]>([
    ["an archive without a program", () => buildZip([part("x/data/0")]), "bad-pytorch", /without data\.pkl/],
    [
      "one with two",
      () => buildZip([part("x/data.pkl"), part("y/data.pkl")]),
      "bad-pytorch",
      /more than one data\.pkl/,
    ],
    ["a program in a folder below", () => buildZip([part("x/y/data.pkl")]), "bad-pytorch", /without data\.pkl/],
    [
      "a long version",
      () => buildZip([part("x/data.pkl"), part("x/version", "3".repeat(65))]),
      "bad-pytorch",
      /"x\/version" has 65 bytes/,
    ],
    [
      "bytes in the other order",
      () => buildZip([part("x/data.pkl"), part("x/version", "3"), part("x/byteorder", "big")]),
      "unsupported-format",
      /big/,
    ],
    ["no version", () => buildZip([part("x/data.pkl")]), "bad-pytorch", /states version ""/],
    ["a version that is no number", () => buildZip([part("x/data.pkl"), part("x/version", "x")]), "bad-pytorch", /"x"/],
    ["version -3", () => buildZip([part("x/data.pkl"), part("x/version", "-3")]), "bad-pytorch", /version "-3"/],
    ["version 11", () => buildZip([part("x/data.pkl"), part("x/version", "11")]), "bad-pytorch", /version "11"/],
    [
      "a tar file",
      () => Uint8Array.from({ length: 1024 }, (_, i) => ("ustar".charCodeAt(i - 257) || 0x20) & 0xff),
      "unsupported-format",
      /before 1\.6/,
    ],
    [
      "a program longer than is read",
      () => buildZip([{ name: "x/data.pkl", data: new Uint8Array((64 << 20) + 1) }, part("x/version", "3")]),
      "bad-pytorch",
      /data\.pkl has 67108865 bytes, more than 67108864/,
    ],
  ])("%s", async (_, make, code, message) => {
    const error = await PyTorchFile.from(memorySource(make(), "x.pt")).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: "CarambaError", code, message: expect.stringMatching(message) });
  });

  it("a tensor that is not there", async () => {
    const file = await PyTorchFile.open(fixturePath("pt/module.pt"));
    await expect(file.read("none")).rejects.toMatchObject({ code: "missing-tensor" });
    expect(() => file.info("none")).toThrow(CarambaError);
    await file.close();
  });

  it("names that are of no format", async () => {
    await expect(openWeights(join(folder, "x.gguf"))).rejects.toMatchObject({ code: "unsupported-format" });
  });
});

describe.each(["llama-tied", "llama-untied-sharded"])("a Hugging Face folder with PyTorch weights: %s", (name) => {
  it("is the model that the safetensors files hold", async () => {
    const [ours, theirs] = [await openHfModel(fixturePath(`pt/${name}`)), await openHfModel(fixturePath(name))];
    expect(ours.config).toEqual(theirs.config);
    expect([...ours.parameters]).toEqual([...theirs.parameters]);
    for (const path of ours.parameters.keys()) expect(await ours.read(path)).toEqual(await theirs.read(path));
    await Promise.all([ours.close(), theirs.close()]);
  });
});
