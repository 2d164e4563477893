// Where emitters look past their inputs: the same values as without, at the edges of the numbers too.
import {
  attention,
  type Backend,
  constant,
  crossEntropy,
  exp,
  Graph,
  gather,
  grad,
  type HostArray,
  input,
  largestError,
  layerNorm,
  logSoftmax,
  matmul,
  mean,
  mul,
  Philox,
  ReferenceBackend,
  reshape,
  rmsNorm,
  rope,
  runOn,
  softmax,
  sum,
  swiglu,
  type Tensor,
  transpose,
} from "@caramba/tensor";
import { afterAll, beforeAll, expect, test } from "vitest";
import { open } from "./backend.ts";
import { planGraph } from "./plan.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 1 });
});
afterAll(() => backend.close());

const reference = new ReferenceBackend();

async function agree(
  outputs: readonly Tensor[],
  leaves: readonly Tensor[],
  values: readonly HostArray[],
  tolerance = 2e-5,
): Promise<void> {
  const expected = await runOn(reference, outputs, leaves, values);
  const actual = await runOn(backend, outputs, leaves, values);
  for (const [i, e] of expected.entries())
    expect(largestError(actual[i] as Float64Array, e), `output ${i}`).toBeLessThanOrEqual(tolerance);
}

const draw = (shape: readonly number[], seed: number, scale = 1): Float32Array => {
  const random = new Philox(seed);
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * (random.uniform() * 2 - 1));
};
const kernels = (outputs: readonly Tensor[]) =>
  Buffer.from(planGraph(new Graph(outputs), "cpu").model).toString("latin1");

test("factors of operands go into the product", async () => {
  const [a, b] = [input("a", [3, 4]), input("b", [5, 4])];
  const y = matmul(mul(a, 3), transpose(mul(b, -0.5), [1, 0]), { alpha: 2 });
  expect(kernels([y])).not.toContain("Mul");
  await agree([y], [a, b], [draw([3, 4], 1), draw([5, 4], 2)]);
  const kept = mul(a, 3);
  await agree([matmul(kept, b, { transB: true }), kept], [a, b], [draw([3, 4], 1), draw([5, 4], 2)]);
});

test("cross-entropy of a mean and its gradient, for logits of any size", async () => {
  const logits = input("logits", [4, 7]);
  const targets = input("targets", [4], "int32");
  const loss = mean(crossEntropy(logits, targets));
  const outputs = [loss, ...grad(loss, [logits])];
  expect(kernels(outputs)).not.toContain("LogSoftmax");
  for (const scale of [1, 100, 1e4])
    await agree(outputs, [logits, targets], [draw([4, 7], 3, scale), Int32Array.of(0, 6, 3, 3)]);
});

test("both softmax and its logarithm as outputs", async () => {
  const x = input("x", [3, 5]);
  await agree([logSoftmax(x), exp(logSoftmax(x)), softmax(x)], [x], [draw([3, 5], 4, 20)]);
});

test("the gradient of attention takes its inner sum from the values", async () => {
  const shapes = [
    [2, 4, 5, 3],
    [2, 2, 5, 3],
    [2, 2, 5, 6],
  ];
  const leaves = shapes.map((shape, i) => input(`x${i}`, shape));
  const [q, k, v] = leaves as [Tensor, Tensor, Tensor];
  const weights = constant(draw([2, 4, 5, 6], 8), [2, 4, 5, 6]);
  const loss = sum(mul(attention(q, k, v), weights));
  await agree(
    [loss, ...grad(loss, leaves)],
    leaves,
    shapes.map((shape, i) => draw(shape, i + 1)),
  );
});

test("a block of a language model: every gradient", async () => {
  const [t, d, ff] = [6, 8, 12];
  const ids = input("ids", [2, t], "int32");
  const shapes: Record<string, number[]> = {
    table: [9, d],
    n1: [d],
    wq: [d, d],
    n2: [d],
    b2: [d],
    gate: [d, ff],
    up: [d, ff],
    down: [ff, d],
  };
  const p = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, input(name, shape)])) as Record<
    keyof typeof shapes,
    Tensor
  >;
  const leaf = (name: string) => p[name] as Tensor;
  const angle = (f: (x: number) => number) =>
    constant(
      Float32Array.from({ length: t * 2 }, (_, i) => f(i)),
      [t, 2],
    );
  const x = gather(leaf("table"), ids);
  const z = rmsNorm(x, leaf("n1"), 1e-5);
  const heads = transpose(reshape(matmul(z, leaf("wq")), [2, t, 2, 4]), [0, 2, 1, 3]);
  const turned = rope(heads, angle(Math.cos), angle(Math.sin));
  const y = attention(turned, turned, heads);
  const w = layerNorm(reshape(transpose(y, [0, 2, 1, 3]), [2, t, d]), leaf("n2"), leaf("b2"), 1e-5);
  const out = matmul(swiglu(matmul(w, leaf("gate")), matmul(w, leaf("up"))), leaf("down"));
  const loss = mean(mul(out, out));
  const leaves = [ids, ...Object.values(p)];
  await agree(
    [loss, ...grad(loss, Object.values(p))],
    leaves,
    [Int32Array.from({ length: 2 * t }, (_, i) => (i * 5) % 9), ...Object.values(shapes).map((s, i) => draw(s, i + 5))],
    5e-5,
  );
});
