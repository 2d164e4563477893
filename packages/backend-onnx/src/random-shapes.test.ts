// Random shapes and chains, compared with the reference backend.
import {
  add,
  type Backend,
  concat,
  constant,
  type HostArray,
  input,
  largestError,
  matmul,
  maximum,
  mul,
  neg,
  Philox,
  pad,
  ReferenceBackend,
  reshape,
  runOn,
  slice,
  sub,
  sum,
  type Tensor,
  transpose,
} from "@caramba/tensor";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { open } from "./backend.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 1 });
});
afterAll(() => backend.close());

const reference = new ReferenceBackend();

const draw = (shape: readonly number[], seed: number): Float32Array => {
  const random = new Philox(seed);
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uniform() * 2 - 1);
};

async function agree(output: Tensor, leaves: readonly Tensor[], tolerance = 1e-5): Promise<void> {
  const values: HostArray[] = leaves.map((leaf, i) => draw(leaf.shape as number[], i + 1));
  const [expected] = await runOn(reference, [output], leaves, values);
  const [actual] = await runOn(backend, [output], leaves, values);
  expect(largestError(actual as Float64Array, expected as Float64Array)).toBeLessThanOrEqual(tolerance);
}

const extent = fc.integer({ min: 1, max: 5 });

test("elementwise ops broadcast any pair of shapes that fit", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(extent, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 4 }),
      fc.nat(4),
      fc.constantFrom(add, sub, mul, maximum),
      async (axes, drop, op) => {
        const a = axes.map(([n, one]) => (one ? 1 : n));
        const b = axes.map(([n, , one]) => (one ? 1 : n)).slice(Math.min(drop, axes.length - 1));
        const [x, y] = [input("x", a), input("y", b)];
        await agree(op(x, y), [x, y]);
      },
    ),
    { numRuns: 40 },
  ));

test("matmul reads operands transposed, scaled and broadcast", () =>
  fc.assert(
    fc.asyncProperty(
      fc.record({ m: extent, k: extent, n: extent, transA: fc.boolean(), transB: fc.boolean() }),
      fc.array(fc.tuple(extent, fc.boolean(), fc.boolean()), { maxLength: 2 }),
      fc.constantFrom(1, 0.5, -2),
      async ({ m, k, n, transA, transB }, batch, alpha) => {
        const a = [...batch.map(([b, one]) => (one ? 1 : b)), ...(transA ? [k, m] : [m, k])];
        const b = [...batch.map(([b, , one]) => (one ? 1 : b)), ...(transB ? [n, k] : [k, n])];
        const [x, y] = [input("x", a), input("y", b)];
        await agree(matmul(x, y, { transA, transB, alpha }), [x, y]);
      },
    ),
    { numRuns: 60 },
  ));

test("matmul reads through any transpose of its operands", () =>
  fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 4 }),
      fc.infiniteStream(fc.nat(1000)),
      fc.boolean(),
      fc.boolean(),
      async (rank, numbers, transA, transB) => {
        const next = () => numbers.next().value as number;
        const order = () =>
          Array.from({ length: rank }, (_, i) => ({ i, at: next() }))
            .sort((a, b) => a.at - b.at)
            .map(({ i }) => i);
        const size = () => 1 + (next() % 4);
        const [m, k, n] = [size(), size(), size()];
        const batch = Array.from({ length: rank - 2 }, size);
        const operand = (name: string, rows: number, columns: number) => {
          const perm = order();
          const shape = [...batch, rows, columns];
          const stored = new Array<number>(rank);
          perm.forEach((p, i) => {
            stored[p] = shape[i] as number;
          });
          const leaf = input(name, stored);
          return { leaf, view: transpose(leaf, perm) };
        };
        const a = transA ? operand("a", k, m) : operand("a", m, k);
        const b = transB ? operand("b", n, k) : operand("b", k, n);
        await agree(matmul(a.view, b.view, { transA, transB }), [a.leaf, b.leaf]);
      },
    ),
    { numRuns: 60 },
  ));

test("chains of reshape, transpose, slice, pad and concat move every value to its place", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(extent, { minLength: 1, maxLength: 4 }),
      fc.array(fc.tuple(fc.nat(4), fc.nat(1000)), { minLength: 1, maxLength: 7 }),
      async (shape, steps) => {
        const x = input("x", shape);
        let y: Tensor = x;
        for (const [kind, number] of steps) {
          const axis = y.rank === 0 ? 0 : number % y.rank;
          const n = (y.shape[axis] as number | undefined) ?? 1;
          if (kind === 0) y = reshape(y, number % 2 ? [-1] : [1, ...y.shape]);
          else if (kind === 1)
            y = transpose(
              y,
              Array.from({ length: y.rank }, (_, i) => (i + number) % y.rank),
            );
          else if (kind === 2) y = slice(y, axis, number % n, n);
          else if (kind === 3) y = pad(y, axis, number % 3, number % 2);
          else y = concat([y, neg(y)], axis);
          if ((y.shape as number[]).reduce((a, b) => a * b, 1) > 5000 || y.rank > 6) break;
        }
        await agree(y, [x], 0);
      },
    ),
    { numRuns: 60 },
  ));

test("a pad between transposes pads the axis that was meant", async () => {
  const x = input("x", [2, 2]);
  const turned = transpose(reshape(x, [1, 2, 2]), [2, 0, 1]);
  await agree(reshape(transpose(pad(turned, 1, 1, 1), [1, 2, 0]), [1, 3, 2, 2]), [x], 0);
});

test("a transpose shared by a product and an output is computed for the output only", async () => {
  const [a, b] = [input("a", [3, 4]), input("b", [3, 5])];
  const turned = transpose(a, [1, 0]);
  const values = [draw([3, 4], 1), draw([3, 5], 2)];
  const outputs = [matmul(turned, b), turned];
  const expected = await runOn(reference, outputs, [a, b], values);
  const actual = await runOn(backend, outputs, [a, b], values);
  expected.forEach((e, i) => {
    expect(largestError(actual[i] as Float64Array, e)).toBeLessThanOrEqual(1e-6);
  });
});

test("operands that are broadcasts themselves keep the result's shape", async () => {
  const [a, b] = [input("a", [3, 1]), input("b", [1, 4])];
  const wide = (t: Tensor) => add(t, constant(new Float32Array(12), [3, 4]));
  await agree(mul(sum(wide(a), [1], true), wide(b)), [a, b]);
});
