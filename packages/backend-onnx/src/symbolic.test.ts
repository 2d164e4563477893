// One executable for every value of a free dimension, and caches read where they grow.
import {
  addDims,
  attention,
  type Backend,
  CarambaError,
  cachedAttention,
  cast,
  concat,
  f16ToF32,
  f32ToF16,
  Graph,
  gather,
  type HostArray,
  input,
  iota,
  largestError,
  mul,
  Philox,
  pad,
  ReferenceBackend,
  reshape,
  runOn,
  slice,
  softmax,
  sum,
  sym,
  type Tensor,
  toCacheRows,
  transpose,
} from "@caramba/tensor";
import { afterAll, beforeAll, expect, test } from "vitest";
import { open } from "./backend.ts";
import { planGraph } from "./plan.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 2 });
});
afterAll(() => backend.close());

const reference = new ReferenceBackend();
const draw = (size: number, seed: number): Float32Array => {
  const random = new Philox(seed);
  return Float32Array.from({ length: size }, () => random.uniform() * 2 - 1);
};
const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Runs one graph at several sizes on both engines. */
async function sweep(
  outputs: readonly Tensor[],
  shapes: (n: number) => readonly (readonly number[])[],
  sizes: readonly number[],
  tolerance = 1e-5,
): Promise<void> {
  const graph = new Graph(outputs);
  const [ours, theirs] = [await backend.compile(graph), await reference.compile(graph)];
  for (const n of sizes) {
    const values = shapes(n).map((shape, i) => draw(sizeOf(shape), i + 1));
    const feed = (engine: Backend) =>
      shapes(n).map((shape, i) => engine.upload((values[i] as Float32Array).slice(), shape, "float32"));
    const actual = await ours.run(feed(backend));
    const expected = await theirs.run(feed(reference));
    for (const [i, e] of expected.entries()) {
      const a = actual[i] as (typeof actual)[0];
      expect(a.shape).toEqual(e.shape);
      const error = largestError(await backend.read(a), (e as { values: Float64Array } & typeof e).values);
      expect(error, `output ${i} at ${n}`).toBeLessThanOrEqual(tolerance);
    }
  }
}

test("shapes with one free dimension follow the input", async () => {
  const n = sym("N");
  const x = input("x", [n, 4]);
  const flat = reshape(transpose(x, [1, 0]), [-1]);
  const joined = concat([x, slice(x, 0, 1, n), pad(x, 0, 2, 0)], 0);
  const second = slice(concat([x, mul(x, 2)], 0), 0, n, addDims(n, n));
  await sweep([flat, joined, softmax(x), sum(x, [0]), second], (k) => [[k, 4]], [2, 1, 7, 3]);
});

test("two free dimensions and their products", async () => {
  const [b, t] = [sym("B"), sym("T")];
  const x = input("x", [b, t, 6]);
  const heads = transpose(reshape(x, [b, t, 2, 3]), [0, 2, 1, 3]);
  const graph = [reshape(heads, [-1, 3]), sum(x, [1]), softmax(heads)];
  await sweep(graph, (k) => [[k, k + 1, 6]], [1, 3, 2]);
});

test("iota of a free size", async () => {
  const n = sym("N");
  const x = input("x", [n]);
  await sweep([mul(x, cast(iota(n), "float32"))], (k) => [[k]], [1, 5]);
});

test("a free dimension that no input holds alone is refused", async () => {
  const graph = new Graph([mul(input("x", [1]), cast(iota(sym("M")), "float32"))]);
  const outcome = await backend.compile(graph).catch((e: unknown) => e);
  expect(outcome).toBeInstanceOf(CarambaError);
});

test("inputs that disagree on a free dimension are refused", async () => {
  const n = sym("N");
  const executable = await backend.compile(new Graph([concat([input("a", [n, 2]), input("b", [n, 2])], 1)]));
  const feed = (rows: number) => backend.upload(new Float32Array(rows * 2), [rows, 2], "float32");
  await expect(executable.run([feed(3), feed(4)])).rejects.toThrow(/expected \[N, 2\]/);
  await expect(executable.run([feed(3), feed(3)])).resolves.toHaveLength(1);
});

for (const { heads, kv, fresh, half } of [
  { heads: 4, kv: 4, fresh: 1, half: false },
  { heads: 4, kv: 2, fresh: 1, half: false },
  { heads: 4, kv: 2, fresh: 3, half: false },
  { heads: 4, kv: 1, fresh: 2, half: true },
])
  test(`attention over a growing ${half ? "float16 " : ""}cache equals attention over everything: ${heads} heads, ${kv} kv, ${fresh} new`, async () => {
    const [dk, dv, longest] = [8, 6, 9];
    const past = sym("P");
    const q = input("q", [1, heads, fresh, dk]);
    const k = input("k", [1, kv, fresh, dk]);
    const v = input("v", [1, kv, fresh, dv]);
    const dtype = half ? "float16" : "float32";
    const pastK = input("pastK", [past, kv, dk], dtype);
    const pastV = input("pastV", [past, kv, dv], dtype);
    const step = new Graph([cachedAttention(q, k, v, pastK, pastV), toCacheRows(k), toCacheRows(v)]);
    const executable = await backend.compile(step);
    const all = { k: draw(longest * kv * dk, 3), v: draw(longest * kv * dv, 4) };
    const caches = [backend.alloc([longest, kv, dk], dtype), backend.alloc([longest, kv, dv], dtype)] as const;
    const store = (values: Float32Array) => (half ? f32ToF16(values) : values);
    const rounded = (values: Float32Array) => (half ? f16ToF32(f32ToF16(values)) : values);
    /** Rows [T, kv, d] as [1, kv, T, d]. */
    const byHead = (rows: Float32Array, d: number) => {
      const t = rows.length / (kv * d);
      return Float32Array.from({ length: rows.length }, (_, i) => {
        const [h, at, j] = [Math.floor(i / (t * d)), Math.floor(i / d) % t, i % d];
        return rows[(at * kv + h) * d + j] as number;
      });
    };
    for (let length = 0; length + fresh <= longest; length += fresh) {
      const query = draw(heads * fresh * dk, 100 + length);
      const fed = new Map<Tensor, HostArray>([
        [q, query],
        [k, byHead(all.k.subarray(length * kv * dk, (length + fresh) * kv * dk), dk)],
        [v, byHead(all.v.subarray(length * kv * dv, (length + fresh) * kv * dv), dv)],
      ]);
      const results = await executable.run(
        step.inputs.map((leaf) => {
          const values = fed.get(leaf);
          if (values) return backend.upload(values, leaf.shape as number[], leaf.dtype);
          return backend.prefix(leaf === pastK ? caches[0] : caches[1], length);
        }),
      );
      const total = length + fresh;
      const [K, V] = [input("K", [1, kv, total, dk]), input("V", [1, kv, total, dv])];
      // Past rows went through the cache's dtype, the new ones did not.
      const seen = (rows: Float32Array, d: number) => {
        const out = rounded(rows.subarray(0, length * kv * d)).slice();
        return byHead(Float32Array.from([...out, ...rows.subarray(length * kv * d, total * kv * d)]), d);
      };
      const [expected] = await runOn(
        reference,
        [attention(q, K, V)],
        [q, K, V],
        [query, seen(all.k, dk), seen(all.v, dv)],
      );
      expect(largestError((results[0]?.host ?? []) as Float32Array, expected as Float64Array)).toBeLessThan(1e-5);
      [results[1], results[2]].forEach((rows, i) => {
        const bits = store(rows?.host as Float32Array);
        backend.writeRows(caches[i] as (typeof caches)[0], length, backend.upload(bits, rows?.shape ?? [], dtype));
      });
    }
  });

test("a float32 cache is read in place: no node makes a tensor of its length but scores", () => {
  const past = sym("P");
  const q = input("q", [1, 4, 1, 8]);
  const fresh = () => input("kv", [1, 2, 1, 8]);
  const graph = new Graph([
    cachedAttention(q, fresh(), fresh(), input("pastK", [past, 2, 8]), input("pastV", [past, 2, 8])),
  ]);
  const { model } = planGraph(graph, "cpu");
  expect(Buffer.from(model).includes("Transpose")).toBe(false);
  expect(Buffer.from(model).includes("transBatchB")).toBe(true);
});

test("one token id of a free batch", async () => {
  const n = sym("N");
  const ids = input("ids", [n], "int32");
  const table = input("table", [5, 2]);
  const graph = new Graph([gather(table, ids)]);
  const executable = await backend.compile(graph);
  const rows = backend.upload(
    Float32Array.from({ length: 10 }, (_, i) => i),
    [5, 2],
    "float32",
  );
  for (const list of [[4], [0, 3, 1]]) {
    const [y] = await executable.run([rows, backend.upload(Int32Array.from(list), [list.length], "int32")]);
    expect([...(y?.host ?? [])]).toEqual(list.flatMap((i) => [2 * i, 2 * i + 1]));
  }
});
