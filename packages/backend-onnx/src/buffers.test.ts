// Executables at work: buffers given for outputs, outputs that are inputs, the session cache, and clear errors.
import {
  add,
  type Backend,
  CarambaError,
  cast,
  constant,
  crossEntropy,
  exp,
  f32ToF16,
  Graph,
  gather,
  input,
  logicalNot,
  matmul,
  mul,
  neg,
  reshape,
  scalar,
  type Tensor,
  transpose,
  withScope,
} from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableDevices, open } from "./index.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open();
});
afterAll(() => backend.close());

const floats = (...values: number[]) => Float32Array.from(values);
const run = async (outputs: readonly Tensor[], values: readonly Float32Array[]) => {
  const graph = new Graph(outputs);
  const executable = await backend.compile(graph);
  return executable.run(
    graph.inputs.map((leaf, i) => backend.upload(values[i] as Float32Array, leaf.shape as number[], leaf.dtype)),
  );
};
const caught = async (work: Promise<unknown>): Promise<CarambaError> => {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CarambaError);
  return error as CarambaError;
};

describe("outputs", () => {
  test("into receives the output and is returned for it", async () => {
    const x = input("x", [2, 2]);
    const executable = await backend.compile(new Graph([exp(x), reshape(neg(x), [4])]));
    const target = [backend.alloc([2, 2], "float32"), backend.alloc([4], "float32")];
    const fed = [backend.upload(floats(0, 1, 2, 3), [2, 2], "float32")];
    const results = await executable.run(fed, target);
    expect(results[0]).toBe(target[0]);
    expect(results[1]).toBe(target[1]);
    expect([...(target[1]?.host ?? [])]).toEqual([-0, -1, -2, -3]);
    expect(target[0]?.host?.[3]).toBeCloseTo(Math.exp(3), 4);
  });

  test("an output that is an input, a constant, or another output has memory of its own", async () => {
    const x = input("x", [3]);
    const y = mul(x, 2);
    const results = await run([x, y, y, constant(floats(7, 8, 9), [3]), reshape(y, [3, 1])], [floats(1, 2, 3)]);
    expect(results.map((r) => [...(r.host ?? [])])).toEqual([
      [1, 2, 3],
      [2, 4, 6],
      [2, 4, 6],
      [7, 8, 9],
      [2, 4, 6],
    ]);
    expect(results[4]?.shape).toEqual([3, 1]);
    expect(new Set(results.map((r) => r.host?.buffer)).size).toBe(5);
  });

  test("an output buffer that is also an input, or overlaps one, is refused", async () => {
    const x = input("x", [2]);
    const executable = await backend.compile(new Graph([neg(x)]));
    const buffer = backend.upload(floats(1, 2), [2], "float32");
    expect((await caught(executable.run([buffer], [buffer]))).code).toBe("aliased-output");
    const memory = new Float32Array(3);
    const [low, high] = [memory.subarray(0, 2), memory.subarray(1, 3)].map((a) => backend.upload(a, [2], "float32"));
    expect((await caught(executable.run([low as typeof buffer], [high]))).code).toBe("aliased-output");
  });

  test("an output buffer of another shape or dtype is refused", async () => {
    const x = input("x", [2]);
    const executable = await backend.compile(new Graph([neg(x)]));
    const fed = [backend.upload(floats(1, 2), [2], "float32")];
    expect((await caught(executable.run(fed, [backend.alloc([3], "float32")]))).message).toMatch(/\[2\].*\[3\]/);
    expect((await caught(executable.run(fed, [backend.alloc([2], "int32")]))).code).toBe("shape");
  });

  test("runs that overlap in time do not mix their inputs", async () => {
    const x = input("x", [1]);
    const executable = await backend.compile(new Graph([mul(x, 10)]));
    const results = await Promise.all(
      [1, 2, 3].map((v) => executable.run([backend.upload(floats(v), [1], "float32")])),
    );
    expect(results.map(([r]) => r?.host?.[0])).toEqual([10, 20, 30]);
  });
});

describe("buffers", () => {
  test("a prefix is a view and writeRows writes through it", () => {
    const cache = backend.alloc([4, 2], "float32");
    const view = backend.prefix(cache, 3);
    backend.writeRows(cache, 1, backend.upload(floats(5, 6), [1, 2], "float32"));
    expect([...(view.host ?? [])]).toEqual([0, 0, 5, 6, 0, 0]);
    expect(view.shape).toEqual([3, 2]);
    expect(() => backend.prefix(cache, 5)).toThrow(/at most|5 rows/);
    expect(() => backend.writeRows(cache, 4, view)).toThrow(/do not fit/);
  });

  test("float16 travels as raw bits, bool and integers keep their types", async () => {
    const h = input("h", [2], "float16");
    const b = input("b", [2], "bool");
    const i = input("i", [2], "int8");
    const graph = new Graph([cast(h, "float32"), logicalNot(b), add(i, i), h]);
    const executable = await backend.compile(graph);
    const [wide, not, twice, same] = await executable.run([
      backend.upload(f32ToF16(floats(1.5, -2)), [2], "float16"),
      backend.upload(Uint8Array.of(1, 0), [2], "bool"),
      backend.upload(Int8Array.of(3, -100), [2], "int8"),
    ]);
    expect([...(wide?.host ?? [])]).toEqual([1.5, -2]);
    expect([...(not?.host ?? [])]).toEqual([0, 1]);
    expect([...(twice?.host ?? [])]).toEqual([6, 56]);
    expect(same?.host).toEqual(f32ToF16(floats(1.5, -2)));
  });

  test("a disposed buffer and one of another engine are refused", async () => {
    const x = input("x", [1]);
    const executable = await backend.compile(new Graph([neg(x)]));
    const buffer = backend.upload(floats(1), [1], "float32");
    backend.dispose(buffer);
    expect((await caught(executable.run([buffer]))).code).toBe("disposed");
    const foreign = { shape: [1], dtype: "float32" as const, backend: "reference" };
    expect((await caught(executable.run([foreign]))).code).toBe("wrong-backend");
  });
});

describe("sessions", () => {
  test("equal graphs share one, whatever their inputs are called", async () => {
    const own = await open({ threads: 1 });
    const make = (name: string) => new Graph([exp(mul(input(name, [3]), 1.25))]);
    const first = await own.compile(make("a"));
    const second = await own.compile(make("b"));
    const third = await own.compile(make("c"), { cache: false });
    expect([first, second, third].map((e) => e.info.cached)).toEqual([false, true, false]);
    expect(own.cachedSessions).toBe(1);
    first.dispose();
    const [y] = await second.run([own.upload(floats(0, 0, 0), [3], "float32")]);
    expect([...(y?.host ?? [])]).toEqual([1, 1, 1]);
    await own.close();
  });

  test("the least recently used go first, and those in use live on", async () => {
    const own = await open({ threads: 1, cache: { count: 2 } });
    const make = (n: number) => new Graph([mul(input("x", [n]), 3)]);
    const first = await own.compile(make(1));
    await own.compile(make(2));
    await own.compile(make(3));
    expect(own.cachedSessions).toBe(2);
    const [y] = await first.run([own.upload(floats(2), [1], "float32")]);
    expect(y?.host?.[0]).toBe(6);
    first.dispose();
    expect((await caught(first.run([]))).code).toBe("disposed");
    expect((await own.compile(make(1))).info.cached).toBe(false);
    await own.close();
  });
});

describe("errors", () => {
  test("token ids beyond the vocabulary name the input, the position and the layer", async () => {
    const table = input("table", [5, 2]);
    const ids = input("ids", [2, 2], "int32");
    const graph = new Graph([withScope("embedder", () => gather(table, ids))]);
    const executable = await backend.compile(graph);
    const feed = (...list: number[]) =>
      executable.run([
        backend.upload(new Float32Array(10), [5, 2], "float32"),
        backend.upload(Int32Array.from(list), [2, 2], "int32"),
      ]);
    for (const bad of [5, -1]) {
      const error = await caught(feed(0, 1, bad, 2));
      expect(error.code).toBe("index");
      expect(error.message).toContain(`index ${bad} at position 2 of "ids" is outside [0, 5)`);
      expect(error.message).toContain("embedder");
    }
    await expect(feed(0, 1, 4, 2)).resolves.toHaveLength(1);
  });

  test("targets beyond the classes are caught, and computed indices are left to the engine", async () => {
    const logits = input("logits", [1, 3]);
    const targets = input("targets", [1], "int32");
    const executable = await backend.compile(new Graph([crossEntropy(logits, targets)]));
    const bad = executable.run([
      backend.upload(floats(1, 2, 3), [1, 3], "float32"),
      backend.upload(Int32Array.of(3), [1], "int32"),
    ]);
    expect((await caught(bad)).message).toContain('"targets"');
    const shifted = await backend.compile(
      new Graph([withScope("layers.3", () => gather(input("t", [4]), add(input("i", [1], "int32"), 1)))]),
    );
    const error = await caught(
      shifted.run([
        backend.upload(new Float32Array(4), [4], "float32"),
        backend.upload(Int32Array.of(9), [1], "int32"),
      ]),
    );
    expect(error.code).toBe("index");
    expect(error.message).toContain("layers.3: gather");
  });

  test("wrong shapes and dtypes name the input", async () => {
    const [a, b] = [input("left", [2, 3]), input("right", [3, 2])];
    const executable = await backend.compile(new Graph([matmul(a, b)]));
    const good = backend.upload(new Float32Array(6), [2, 3], "float32");
    const error = await caught(executable.run([good, good]));
    expect(error.message).toContain('"right" has shape [2, 3], expected [3, 2]');
    const ints = backend.upload(new Int32Array(6), [3, 2], "int32");
    expect((await caught(executable.run([good, ints]))).message).toContain('"right" is float32');
    expect((await caught(executable.run([good]))).code).toBe("feed");
    expect(() => backend.upload(floats(1, 2), [3], "float32")).toThrow(/does not fill/);
  });

  test("devices that do not exist or do not work say what to do", async () => {
    const unknown = await caught(open({ device: "tpu" }));
    expect(unknown.code).toBe("device");
    expect(unknown.remedy).toContain("onnx:cpu");
    for (const device of ["cuda", "webgpu", "dml", "coreml"]) {
      const outcome = await open({ device }).then(
        (engine) => engine.name,
        (e: unknown) => e,
      );
      // Never a silent fall-back: the device itself, or an error that names its needs.
      if (typeof outcome === "string") expect(outcome).toBe(`onnx:${device}`);
      else {
        expect(outcome).toBeInstanceOf(CarambaError);
        expect((outcome as CarambaError).code).toBe("device");
        expect((outcome as CarambaError).remedy).toMatch(/it needs/);
      }
    }
    expect(availableDevices()).toContain("cpu");
    expect((await caught(open({ threads: 0 }))).code).toBe("threads");
  });

  test("constants that no model can hold are refused with a remedy", async () => {
    const huge = { length: 2 ** 29, byteLength: 2 ** 31 } as unknown as Float32Array;
    const big = constant(huge, [2 ** 29], "float32");
    const { planGraph } = await import("./plan.ts");
    expect(() => planGraph(new Graph([add(transpose(reshape(big, [2 ** 28, 2]), [1, 0]), scalar(1))]), "cpu")).toThrow(
      /more than an ONNX model holds/,
    );
  });
});
