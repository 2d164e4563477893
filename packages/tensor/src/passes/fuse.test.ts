import { expect, test } from "vitest";
import { softmax } from "../composites/softmax.ts";
import { Graph } from "../graph.ts";
import { runOn } from "../matrix.ts";
import { add, div, exp, mul, rsqrt, sigmoid, sub } from "../ops/elementwise.ts";
import { matmul } from "../ops/matmul.ts";
import { max, mean } from "../ops/reduce.ts";
import { sum, transpose } from "../ops/shape.ts";
import { ReferenceBackend } from "../reference.ts";
import { input, type Tensor } from "../tensor.ts";
import { fuseComposites } from "./fuse.ts";

const x = input("x", [3, 4]);
const y = input("y", [3, 4]);
const w = input("w", [4]);
const values = [3, 4, 1].map((seed, k) =>
  Float32Array.from({ length: k === 2 ? 4 : 12 }, (_, i) => Math.sin(seed + i)),
);

const written: Record<string, { expression: Tensor; op: string }> = {
  silu: { expression: mul(x, sigmoid(x)), op: "silu" },
  "silu, the other way": { expression: mul(sigmoid(x), x), op: "silu" },
  swiglu: { expression: mul(y, mul(x, sigmoid(x))), op: "swiglu" },
  softmax: {
    expression: (() => {
      const e = exp(sub(x, max(x, [-1], true)));
      return div(e, sum(e, [-1], true));
    })(),
    op: "softmax",
  },
  rmsNorm: { expression: mul(mul(x, rsqrt(add(mean(mul(x, x), [-1], true), 1e-6))), w), op: "rmsNorm" },
  "transposed product": { expression: matmul(x, transpose(y, [1, 0])), op: "matmul" },
};

for (const [name, { expression, op }] of Object.entries(written))
  test(`${name} is recognised and keeps its value`, async () => {
    const fused = fuseComposites(new Graph([expression])).outputs[0] as Tensor;
    expect(fused.op.name).toBe(op);
    expect(fused.inputs.every((t) => t.leaf !== undefined)).toBe(true);
    const backend = new ReferenceBackend();
    const [expected] = await runOn(backend, [expression], [x, y, w], values);
    const [actual] = await runOn(backend, [fused], [x, y, w], values);
    actual?.forEach((v, i) => {
      expect(v).toBeCloseTo(expected?.[i] as number, 6);
    });
  });

test("what only looks alike is left alone", () => {
  const unlike = [
    mul(x, sigmoid(y)),
    div(exp(sub(x, max(y, [-1], true))), sum(exp(sub(x, max(y, [-1], true))), [-1], true)),
    mul(mul(x, rsqrt(add(mean(mul(x, y), [-1], true), 1e-6))), w),
    mul(mul(x, rsqrt(add(mean(mul(x, x), [0], true), 1e-6))), w),
  ];
  for (const expression of unlike) expect(fuseComposites(new Graph([expression])).outputs[0]).toBe(expression);
  expect(softmax(x).op.name).toBe("softmax");
});
