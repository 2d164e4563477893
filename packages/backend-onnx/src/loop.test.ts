// Loops on ONNX Runtime beyond the op matrix: open lengths, a loop in a loop, gradients of shared matrices, long rows.
import {
  add,
  type Backend,
  concat,
  exp,
  Graph,
  gather,
  grad,
  type HostArray,
  input,
  largestError,
  loopBody,
  matmul,
  mul,
  neg,
  Philox,
  ReferenceBackend,
  reshape,
  scan,
  silu,
  sum,
  sym,
  type Tensor,
  tanh,
} from "@caramba/tensor";
import { afterAll, beforeAll, expect, test } from "vitest";
import { open } from "./backend.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 2 });
});
afterAll(() => backend.close());

async function compare(outputs: readonly Tensor[], length: number): Promise<number> {
  const graph = new Graph(outputs);
  const reference = new ReferenceBackend();
  const random = new Philox(3);
  const values = graph.inputs.map((leaf) => {
    const shape = leaf.shape.map((d) => (typeof d === "number" ? d : length));
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uniform() - 0.5);
    return { shape, data };
  });
  const run = async (on: Backend) => {
    const executable = await on.compile(graph);
    const results = await executable.run(values.map(({ data, shape }) => on.upload(data.slice(), shape, "float32")));
    return Promise.all(results.map((buffer) => on.read(buffer)));
  };
  const [actual, expected] = [await run(backend), await run(reference)];
  return Math.max(...actual.map((a, i) => largestError(a, expected[i] as Float32Array)));
}

function recurrent(length: number | ReturnType<typeof sym>): { leaves: Tensor[]; outputs: readonly Tensor[] } {
  const [h, x, w] = [input("h", [2, 3]), input("x", [length, 2, 3]), input("w", [3, 3])];
  const { carry, out } = scan({ carry: [h], xs: [x], shared: [w] }, ([now], [xt], [weight]) => {
    const next = tanh(add(matmul(now as Tensor, weight as Tensor), xt as Tensor));
    return { carry: [next], out: [mul(next, 2)] };
  });
  return { leaves: [h, x, w], outputs: [...carry, ...out] };
}

test("an open number of rows", async () => {
  const { outputs } = recurrent(sym("T"));
  for (const length of [0, 1, 2, 9]) expect(await compare(outputs, length)).toBeLessThan(1e-6);
});

test("gradients over an open number of rows, of the shared matrix too", async () => {
  const { leaves, outputs } = recurrent(sym("T"));
  const loss = add(sum(outputs[0] as Tensor), sum(mul(outputs[1] as Tensor, outputs[1] as Tensor)));
  for (const length of [0, 1, 2, 9]) expect(await compare(grad(loss, leaves), length)).toBeLessThan(1e-5);
});

test("a loop inside a loop, whose inner step reads what lies outside both", async () => {
  const [h, x, s] = [input("h", [3]), input("x", [4, 5, 3]), input("s", [3])];
  const { carry } = scan({ carry: [h], xs: [x], shared: [s] }, ([now], [rows], [scale]) => {
    const inner = scan({ carry: [now as Tensor], xs: [rows as Tensor], shared: [scale as Tensor] }, (c, r, k) => ({
      carry: [add(mul(c[0] as Tensor, exp(neg(k[0] as Tensor))), r[0] as Tensor)],
      out: [],
    }));
    return { carry: inner.carry, out: [] };
  });
  const y = carry[0] as Tensor;
  expect(loopBody(y)).toBeDefined();
  expect(await compare([y, ...grad(sum(mul(y, y)), [h, x, s])], 0)).toBeLessThan(1e-5);
});

test("only what is asked for is made", async () => {
  const { leaves, outputs } = recurrent(6);
  expect(await compare([outputs[1] as Tensor], 0)).toBeLessThan(1e-6);
  expect(await compare([outputs[0] as Tensor], 0)).toBeLessThan(1e-6);
  expect(await compare(grad(sum(outputs[0] as Tensor), [leaves[0] as Tensor]), 0)).toBeLessThan(1e-5);
});

test("a step may hold kernels of ORT's own where nothing else does", async () => {
  const [h, x] = [input("h", [2, 3]), input("x", [4, 2, 3])];
  const { carry } = scan({ carry: [h], xs: [x] }, ([now], [xt]) => ({
    carry: [silu(add(now as Tensor, xt as Tensor))],
    out: [],
  }));
  expect(await compare(carry, 0)).toBeLessThan(1e-6);
});

test("a carry that is handed on as it came, rows without elements, a member twice and read too", async () => {
  const [kept, h, x, none] = [input("kept", [2]), input("h", [2]), input("x", [3, 2]), input("none", [3, 0])];
  const { carry, out } = scan({ carry: [kept, h], xs: [x, none] }, ([k, now], [xt, empty]) => ({
    carry: [k as Tensor, add(mul(now as Tensor, k as Tensor), concat([xt as Tensor, empty as Tensor], 0))],
    out: [reshape(empty as Tensor, [0, 4]), k as Tensor],
  }));
  expect(await compare([...carry, ...out], 0)).toBeLessThan(1e-6);
  const { outputs } = recurrent(4);
  const [last, rows] = outputs as [Tensor, Tensor];
  expect(await compare([rows, sum(rows), last, rows, last], 0)).toBeLessThan(1e-6);
});

test("indices of a step are looked at before the run, those of a loop in a loop too", async () => {
  const [h, ids, table] = [input("h", [3]), input("ids", [4, 2, 1], "int32"), input("table", [sym("N"), 3])];
  const { carry } = scan({ carry: [h], xs: [ids], shared: [table] }, ([now], [rows], [words]) => {
    const inner = scan({ carry: [now as Tensor], xs: [rows as Tensor], shared: [words as Tensor] }, (c, r, s) => ({
      carry: [add(c[0] as Tensor, sum(gather(s[0] as Tensor, r[0] as Tensor), [0]))],
      out: [],
    }));
    return { carry: inner.carry, out: [] };
  });
  const graph = new Graph(carry);
  const executable = await backend.compile(graph);
  const rows = Float32Array.from({ length: 15 }, (_, i) => 2 ** i);
  const run = async (indices: number[]) => {
    const values = new Map<Tensor, [HostArray, number[], "float32" | "int32"]>([
      [h, [new Float32Array(3), [3], "float32"]],
      [ids, [Int32Array.from(indices), [4, 2, 1], "int32"]],
      [table, [rows, [5, 3], "float32"]],
    ]);
    const fed = graph.inputs.map((leaf) => backend.upload(...(values.get(leaf) as [HostArray, number[], "float32"])));
    const [y] = await executable.run(fed);
    return [...((await backend.read(y as NonNullable<typeof y>)) as Float32Array)];
  };
  // Rows 0, 1, 2, 3 once and row 4 four times.
  const column = (j: number) => [0, 1, 2, 3, 4, 4, 4, 4].reduce((total, row) => total + 2 ** (3 * row + j), 0);
  expect(await run([0, 1, 2, 3, 4, 4, 4, 4])).toEqual([0, 1, 2].map(column));
  await expect(run([0, 1, 2, 3, 4, 4, 4, -1])).rejects.toThrow(
    /gather: index -1 at position 7 of "ids" is outside \[0, 5\)/,
  );
  await expect(run([0, 5, 2, 3, 4, 4, 4, 4])).rejects.toThrow(/index 5 at position 1 of "ids" is outside \[0, 5\)/);
});
