// Shapes that no value can have are refused where they would arise, and extents of 0 are like any other.
import { expect, test } from "vitest";
import { runOn } from "../matrix.ts";
import { ReferenceBackend } from "../reference.ts";
import { input, type Tensor, withScope } from "../tensor.ts";
import { iota, scatterAdd, takeAlong } from "./indexing.ts";
import { matmul } from "./matmul.ts";
import { broadcastTo, pad, reshape, slice } from "./shape.ts";

const x = input("x", [6]);
const none = input("none", [0, 2]);

test.each<[string, () => Tensor]>([
  ["two open extents", () => reshape(x, [-1, -1])],
  ["negative extents whose product fits", () => reshape(x, [-2, -3])],
  ["an open extent beside 0", () => reshape(none, [-1, 0])],
  ["a part of an element", () => reshape(x, [1.5, 4])],
  ["broadcast to less than nothing", () => broadcastTo(input("one", []), [-3])],
  ["a slice between elements", () => slice(x, 0, 0.5, 2)],
  ["half a zero in front", () => pad(x, 0, 0.5, 1)],
  ["fewer than no positions", () => iota(-1)],
  ["fewer than no rows", () => scatterAdd(-2, input("i", [1], "int32"), input("u", [1, 3]))],
  ["an element of a scalar", () => takeAlong(input("s", []), input("i", [], "int32"))],
])("%s: refused", (_, build) => {
  expect(() => withScope("layer", build)).toThrow(/layer: \w+: |does not divide/);
});

test("sums over nothing are 0 wherever the rows are", async () => {
  const [a, b] = [input("a", [2, 3, 0]), input("b", [0, 4])];
  const y = matmul(a, b);
  expect(y.shape).toEqual([2, 3, 4]);
  const [found] = await runOn(new ReferenceBackend(), [y], [a, b], [new Float32Array(), new Float32Array()]);
  expect([...(found ?? [])]).toEqual(new Array(24).fill(0));
  expect(reshape(none, [-1, 4]).shape).toEqual([0, 4]);
});
