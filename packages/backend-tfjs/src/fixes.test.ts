// Where TensorFlow.js' engines differ from the reference when left alone: NaN, integers, bools, empty extents, high
// ranks, batches. Each case is computed by the reference backend too.
import {
  abs,
  add,
  broadcastTo,
  cast,
  concat,
  type DType,
  div,
  equal,
  gather,
  type HostArray,
  input,
  largestError,
  matmul,
  max,
  maximum,
  mean,
  minimum,
  mul,
  neg,
  pad,
  pow,
  ReferenceBackend,
  reshape,
  runOn,
  scatterAdd,
  slice,
  softmax,
  sub,
  sum,
  type Tensor,
  transpose,
  where,
} from "@caramba/tensor";
import { memory } from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TfjsBackend } from "./backend.ts";
import { open } from "./open.ts";

const reference = new ReferenceBackend();
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

const floats = (...values: number[]) => Float32Array.from(values);
const ints = (...values: number[]) => Int32Array.from(values);
const bools = (...values: number[]) => Uint8Array.from(values);
const ramp = (n: number, f = (i: number) => Math.sin(i * 1.7)) => Float32Array.from({ length: n }, (_, i) => f(i));
const dtypeOf = (data: HostArray): DType =>
  data instanceof Float32Array ? "float32" : data instanceof Int32Array ? "int32" : "bool";

type Value = readonly [HostArray, readonly number[]];
const row = (data: HostArray): Value => [data, [data.length]];

interface Case {
  readonly name: string;
  readonly values: readonly Value[];
  readonly build: (...x: Tensor[]) => Tensor;
}

const highRank = [2, 1, 2, 3, 1, 2, 2, 2];
const cases: Case[] = [
  {
    name: "maximum keeps a NaN of either operand",
    values: [row(floats(nan, 1, 2)), row(floats(1, nan, 3))],
    build: maximum as Case["build"],
  },
  {
    name: "minimum keeps a broadcast NaN",
    values: [
      [ramp(6), [2, 3]],
      [floats(nan), []],
    ],
    build: minimum as Case["build"],
  },
  {
    name: "pow of NaN exponents",
    values: [row(floats(1, 2, nan, nan, 4)), row(floats(nan, nan, 1, 0, 0.5))],
    build: pow as Case["build"],
  },
  {
    name: "max over a row with a NaN",
    values: [[Float32Array.from({ length: 80 }, (_, i) => (i === 33 ? nan : i)), [2, 40]]],
    build: (x) => max(x, [1]),
  },
  {
    name: "sum and mean down the columns of a tall matrix, NaN and infinity included",
    values: [[ramp(3000, (i) => (i === 1004 ? nan : i === 7 ? inf : Math.sin(i))), [600, 5]]],
    build: (x) => concat([sum(x, [0]), mean(x, [0])], 0),
  },
  {
    name: "max over minus infinities",
    values: [row(floats(-inf, -inf))],
    build: (x) => max(x),
  },
  {
    name: "sum, mean and products carry NaN and infinity",
    values: [[floats(nan, 1, inf, 2, -3, 4), [3, 2]]],
    build: (x) => concat([sum(x, [1]), mean(x, [1]), mul(sum(x, [1]), 0)], 0),
  },
  {
    name: "softmax of rows with a NaN, with huge and with hidden scores",
    values: [[floats(1, nan, 2, 1e30, 1e30, -1e30, -1e30, -1e30, -1e30), [3, 3]]],
    build: softmax,
  },
  {
    name: "a vector as a row and as a column of products",
    values: [
      [ramp(4), [4, 1]],
      [ramp(8, Math.cos), [1, 8]],
      [ramp(32), [4, 8]],
    ],
    build: (column, vector, matrix) => {
      const first = reshape(matmul(column, vector), [32]);
      const second = reshape(matmul(matrix, vector, { transB: true }), [4]);
      const third = reshape(matmul(add(column, 1), vector), [32]);
      return concat([first, second, third], 0);
    },
  },
  { name: "softmax of one column", values: [[ramp(4), [2, 2, 1]]], build: softmax },
  {
    name: "int32 division truncates, also by zero and by -1",
    values: [row(ints(7, -7, 7, -7, 5, -2147483647, 16777217)), row(ints(2, 2, -2, -2, 1, -1, 1))],
    build: div as Case["build"],
  },
  {
    name: "int32 arithmetic beyond 2^24",
    values: [row(ints(16777217, -16777219, 123456789)), row(ints(16777216, 3, -1))],
    build: (a, b) =>
      concat([add(a, b), sub(a, b), maximum(a, b), minimum(a, b), abs(a), neg(a), cast(equal(a, b), "int32")], 0),
  },
  { name: "int32 sum beyond 2^24", values: [row(ints(16777217, 1, 1))], build: (x) => sum(x) },
  {
    name: "int32 product",
    values: [row(ints(65537, -7)), row(ints(3, 123456))],
    build: mul as Case["build"],
  },
  {
    name: "casts: towards zero, to bool by comparison with zero",
    values: [row(floats(0.5, -1.7, 2.9, 0, -0, 300))],
    build: (x) => concat([cast(x, "int32"), cast(cast(x, "bool"), "int32")], 0),
  },
  {
    name: "bool of NaN and of int32",
    values: [row(floats(nan, 0)), row(ints(256, 0, -3))],
    build: (x, y) => concat([cast(x, "bool"), cast(y, "bool")], 0),
  },
  {
    name: "where over bools, broadcast",
    values: [
      [bools(1, 0, 1), [3]],
      [bools(1, 0), [2, 1]],
      [bools(0, 1, 1), [3]],
    ],
    build: where as Case["build"],
  },
  {
    name: "where keeps the NaN out that it hides",
    values: [row(bools(1, 0, 1)), row(floats(1, nan, 3)), row(floats(nan, 5, nan))],
    build: where as Case["build"],
  },
  {
    name: "where over int32 beyond 2^24",
    values: [row(bools(1, 0)), row(ints(16777217, 1)), row(ints(3, 16777219))],
    build: where as Case["build"],
  },
  {
    name: "gather and scatter of int32 rows",
    values: [[ints(16777217, 2, 3, 4), [2, 2]], row(ints(1, 1, 0))],
    build: (table, at) => scatterAdd(3, at, gather(table, at)),
  },
  {
    name: "transpose at rank 8",
    values: [[ramp(96), highRank]],
    build: (x) => transpose(x, [7, 3, 0, 5, 1, 2, 6, 4]),
  },
  {
    name: "reversed axes at rank 7",
    values: [[ramp(192), [2, 2, 2, 3, 2, 2, 2]]],
    build: (x) => transpose(x, [6, 5, 4, 3, 2, 1, 0]),
  },
  {
    name: "alternating broadcast at rank 8",
    values: [
      [ramp(24), [2, 1, 3, 1, 2, 1, 2, 1]],
      [ramp(48, (i) => i), [1, 2, 1, 4, 1, 2, 1, 3]],
    ],
    build: sub as Case["build"],
  },
  {
    name: "alternating reductions at rank 8",
    values: [[ramp(256), new Array(8).fill(2)]],
    build: (x) => concat([sum(x, [1, 3, 5, 7], true), mean(x, [1, 3, 5, 7], true), max(x, [1, 3, 5, 7], true)], 1),
  },
  {
    name: "slice, pad and unary ops at rank 8",
    values: [[ramp(96), highRank]],
    build: (x) => pad(abs(slice(x, 3, 1, 3)), 5, 1, 0),
  },
  {
    name: "broadcast of a middle axis at rank 7",
    values: [[ramp(16), [2, 1, 2, 1, 2, 1, 2]]],
    build: (x) => broadcastTo(x, [2, 3, 2, 2, 2, 3, 2]),
  },
  {
    name: "a product over nothing is zero",
    values: [
      [floats(), [2, 3, 0]],
      [floats(), [2, 0, 4]],
    ],
    build: (a, b) => matmul(a, b),
  },
  {
    name: "empty parts, rows and reductions",
    values: [
      [floats(), [0, 3]],
      [ramp(6), [2, 3]],
    ],
    build: (empty, x) =>
      concat([concat([empty, x], 0), sum(empty, [0], true), slice(x, 0, 1, 1), pad(empty, 0, 1, 0)], 0),
  },
];

// Products: every layout, on both sides of the size at which wasm takes batches one by one.
for (const size of [3, 40])
  for (const transA of [false, true])
    for (const transB of [false, true])
      for (const [batchA, batchB] of [
        [[], []],
        [[3], [3]],
        [[2, 1], [3]],
        [[], [4]],
        [[4], []],
        [
          [2, 3],
          [1, 1],
        ],
      ] as const) {
        const [m, k, n] = [size, size + 1, size + 2];
        const a = [...batchA, ...(transA ? [k, m] : [m, k])];
        const b = [...batchB, ...(transB ? [n, k] : [k, n])];
        const count = (shape: readonly number[]) => shape.reduce((x, y) => x * y, 1);
        cases.push({
          name: `product [${a}]${transA ? "^T" : ""} x [${b}]${transB ? "^T" : ""}`,
          values: [
            [ramp(count(a)), a],
            [ramp(count(b), (i) => Math.cos(i)), b],
          ],
          build: (x, y) => matmul(x, y, { transA, transB, alpha: 0.5 }),
        });
      }

describe.each(["cpu", "wasm"])("tfjs:%s equals the reference", (device) => {
  let backend: TfjsBackend;
  beforeAll(async () => {
    backend = await open({ device });
  });
  afterAll(() => backend.close());

  for (const { name, values, build } of cases)
    test(name, async () => {
      const before = memory().numTensors;
      const leaves = values.map(([data, shape], i) => input(`x${i}`, shape, dtypeOf(data)));
      const output = build(...leaves);
      const data = values.map(([x]) => x);
      const [expected] = await runOn(reference, [output], leaves, data);
      const [actual] = await runOn(backend, [output], leaves, data);
      const exact = output.dtype !== "float32";
      expect(largestError(actual ?? [], expected ?? [1]), `${actual} for ${expected}`).toBeLessThanOrEqual(
        exact ? 0 : 1e-5,
      );
      expect(memory().numTensors).toBe(before);
    });

  test("int32 division by zero gives zero and does not stop the engine", async () => {
    const [a, b] = [input("a", [3], "int32"), input("b", [3], "int32")];
    const [actual] = await runOn(backend, [div(a, b)], [a, b], [ints(5, -5, -2147483648), ints(0, 0, -1)]);
    expect([...(actual ?? [])]).toEqual([0, 0, -2147483648]);
  });
});
