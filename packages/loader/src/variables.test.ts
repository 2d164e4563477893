import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DType, type HostArray, Variable } from "@caramba/tensor";
import { afterAll, expect, it } from "vitest";
import { checkpointOfStep } from "../test-support/checkpoint-of-step.ts";
import { loadCheckpoint } from "./checkpoint.ts";
import { saveCheckpoint } from "./checkpoint-folder.ts";
import { restore, tensorsOf } from "./variables.ts";

const folder = await mkdtemp(join(tmpdir(), "caramba-variables-"));
afterAll(() => rm(folder, { recursive: true }));

const values: Record<DType, HostArray> = {
  float32: Float32Array.of(1.5, -0, Number.NaN, Number.POSITIVE_INFINITY),
  float16: Uint16Array.of(0x3c00, 0x8000, 0x7e01, 0x7c00),
  int32: Int32Array.of(-(2 ** 31), 0, 1, 2 ** 31 - 1),
  int8: Int8Array.of(-128, 0, 1, 127),
  uint8: Uint8Array.of(0, 1, 2, 255),
  bool: Uint8Array.of(0, 1, 1, 0),
};

function variables(): Map<string, Variable> {
  return new Map(
    Object.keys(values).map((dtype) => [`v.${dtype}`, new Variable(dtype, [2, 2], { dtype: dtype as DType })]),
  );
}

it("saves variables of every dtype and restores them bit for bit", async () => {
  const before = variables();
  for (const [path, variable] of before) variable.write(values[path.slice(2) as DType].slice());
  const { state } = checkpointOfStep(1);
  const path = await saveCheckpoint(folder, { state, model: tensorsOf(before) });
  const after = variables();
  const { model } = await loadCheckpoint(path);
  restore(after, model, path, { allowNonFinite: true });
  for (const [name, variable] of after) {
    const found = await variable.read();
    const bytes = (data: HostArray): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    expect(bytes(found)).toEqual(bytes(values[name.slice(2) as DType]));
  }
});

it("names what does not fit, and changes nothing then", async () => {
  const some = new Map([
    ["a", new Variable("a", [2])],
    ["b", new Variable("b", [2])],
    ["c", new Variable("c", [2])],
  ]);
  const two = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
  const wrong = { a: two, b: { ...two, dtype: "F16", data: Uint16Array.of(1, 2) }, d: two } as const;
  expect(() => restore(some, wrong, "file")).toThrow(
    "file does not fit the model: missing (1): c; unexpected (1): d; of another kind (1): b (F16 [2] instead of F32 [2])",
  );
  expect(await some.get("a")?.read()).toEqual(new Float32Array(2));
});

it("refuses values that are not finite, naming their tensors and counting them", async () => {
  const some = new Map([
    ["a", new Variable("a", [4])],
    ["b", new Variable("b", [2], { dtype: "float16" })],
    ["c", new Variable("c", [1], { dtype: "int32" })],
  ]);
  const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;
  const broken = {
    a: { dtype: "F32", shape: [4], data: Float32Array.of(1, nan, infinity, -infinity) },
    // The largest finite one, and a NaN with one bit of its fraction.
    b: { dtype: "F16", shape: [2], data: Uint16Array.of(0x7bff, 0xfc01) },
    // All bits of an exponent, but in an integer.
    c: { dtype: "I32", shape: [1], data: Int32Array.of(0x7fc00000) },
  } as const;
  expect(() => restore(some, broken, "file")).toThrow(
    expect.objectContaining({
      code: "non-finite-weights",
      message:
        "file: tensors with values that are not finite (2): a (1 NaN, 2 infinite, of 4), b (1 NaN, 0 infinite, of 2)",
    }),
  );
  expect(await some.get("a")?.read()).toEqual(new Float32Array(4));
  const largest = { ...broken.a, data: new Float32Array(4).fill(-3.4028234663852886e38) };
  restore(some, { ...broken, a: largest, b: { ...broken.b, data: Uint16Array.of(0, 0x7bff) } }, "file");
  expect(await some.get("a")?.read()).toEqual(largest.data);
});
