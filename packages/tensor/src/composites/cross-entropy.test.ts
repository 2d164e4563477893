import { expect, test } from "vitest";
import { grad } from "../autodiff.ts";
import { runOn } from "../matrix.ts";
import { mul } from "../ops/elementwise.ts";
import { mean } from "../ops/reduce.ts";
import { sum } from "../ops/shape.ts";
import { ReferenceBackend } from "../reference.ts";
import { constant, input, type Tensor } from "../tensor.ts";
import { crossEntropy } from "./cross-entropy.ts";

const [n, v] = [3, 4];
const values = Float32Array.from({ length: n * v }, (_, i) => Math.sin(3 * i));
const ids = Int32Array.of(2, 0, 3);

/** (softmax - onehot) times a weight per row, in closed form. */
function closedForm(weights: readonly number[]): number[] {
  return Array.from({ length: n }, (_, row) => {
    const e = Array.from(values.subarray(row * v, (row + 1) * v), Math.exp);
    const total = e.reduce((a, b) => a + b);
    return e.map((x, i) => (weights[row] as number) * (x / total - (i === ids[row] ? 1 : 0)));
  }).flat();
}

const logits = input("logits", [n, v]);
const targets = input("targets", [n], "int32");

async function gradientOf(loss: Tensor): Promise<Float64Array> {
  const [g] = await runOn(new ReferenceBackend(), grad(loss, [logits]), [logits, targets], [values, ids]);
  return g as Float64Array;
}

test("the gradient of a mean, and of a weighted sum, of cross-entropies is softmax minus one-hot, weighted", async () => {
  const rows = crossEntropy(logits, targets);
  const weights = [0.5, -1, 2];
  const cases: [Tensor, number[]][] = [
    [mean(rows), [1 / n, 1 / n, 1 / n]],
    [sum(rows), [1, 1, 1]],
    [mul(mean(rows), 5), [5 / n, 5 / n, 5 / n]],
    [sum(mul(rows, constant(Float32Array.from(weights), [n]))), weights],
  ];
  for (const [loss, expected] of cases) {
    const g = await gradientOf(loss);
    closedForm(expected).forEach((e, i) => {
      expect(g[i]).toBeCloseTo(e, 6);
    });
  }
});
