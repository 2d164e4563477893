// Loops beyond the op suite: open numbers of rows, rows without elements, several members in one pass, nothing left behind.
import {
  add,
  type Backend,
  concat,
  Graph,
  grad,
  input,
  largestError,
  matmul,
  mul,
  Philox,
  ReferenceBackend,
  reshape,
  scan,
  sum,
  sym,
  type Tensor,
  tanh,
} from "@caramba/tensor";
import { memory } from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { open } from "./open.ts";

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

describe.each(["cpu", "wasm"])("tfjs:%s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open({ device });
  });
  afterAll(() => backend.close());

  /** Largest difference from the reference, for one size of the free dimension; every tensor made must be gone after. */
  async function compare(graph: Graph, length: number): Promise<number> {
    const random = new Philox(5);
    const fed = graph.inputs.map((leaf) => {
      const shape = leaf.shape.map((d) => (typeof d === "number" ? d : length));
      return { shape, data: Float32Array.from({ length: sizeOf(shape) }, () => random.uniform() - 0.5) };
    });
    const run = async (on: Backend) => {
      const executable = await on.compile(graph);
      const buffers = fed.map(({ shape, data }) => on.upload(data.slice(), shape, "float32"));
      const results = await executable.run(buffers);
      const values = await Promise.all(results.map((buffer) => on.read(buffer)));
      const shapes = results.map(({ shape }) => shape);
      for (const buffer of [...buffers, ...results]) on.dispose(buffer);
      executable.dispose();
      return { values, shapes };
    };
    const before = memory().numTensors;
    const actual = await run(backend);
    expect(memory().numTensors).toBe(before);
    const expected = await run(new ReferenceBackend());
    expect(actual.shapes).toEqual(expected.shapes);
    return Math.max(...actual.values.map((a, i) => largestError(a, expected.values[i] as Float32Array)));
  }

  /** tanh(h W + x) over x [length, 2, 3], with every row doubled. */
  function recurrent(length: number | ReturnType<typeof sym>) {
    const leaves = [input("h", [2, 3]), input("x", [length, 2, 3]), input("w", [3, 3])] as const;
    const [h, x, w] = leaves;
    const { carry, out } = scan({ carry: [h], xs: [x], shared: [w] }, ([now], [xt], [weight]) => {
      const next = tanh(add(matmul(now as Tensor, weight as Tensor), xt as Tensor));
      return { carry: [next], out: [mul(next, 2)] };
    });
    return { leaves, last: carry[0] as Tensor, rows: out[0] as Tensor };
  }

  test("an open number of rows, forwards and backwards", async () => {
    const { leaves, last, rows } = recurrent(sym("T"));
    const loss = add(sum(last), sum(mul(rows, rows)));
    for (const length of [0, 1, 2, 9]) {
      expect(await compare(new Graph([last, rows]), length)).toBeLessThan(1e-6);
      expect(await compare(new Graph(grad(loss, leaves)), length)).toBeLessThan(1e-5);
    }
  });

  test("one member alone, a member that is an output and read too, and a member twice", async () => {
    const { last, rows } = recurrent(6);
    for (const outputs of [[last], [rows], [rows, sum(rows), last], [last, last, rows, rows]])
      expect(await compare(new Graph(outputs), 0)).toBeLessThan(1e-6);
  });

  test("a carry that is handed on as it came, and rows without elements", async () => {
    const [kept, h, x, none] = [input("kept", [2]), input("h", [2]), input("x", [3, 2]), input("none", [3, 0])];
    const { carry, out } = scan({ carry: [kept, h], xs: [x, none] }, ([k, now], [xt, empty]) => ({
      carry: [k as Tensor, add(mul(now as Tensor, k as Tensor), concat([xt as Tensor, empty as Tensor], 0))],
      out: [reshape(empty as Tensor, [0, 4]), k as Tensor],
    }));
    expect(await compare(new Graph([...carry, ...out]), 0)).toBeLessThan(1e-6);
  });
});
