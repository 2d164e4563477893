import { expect, test } from "vitest";
import { valueAndGrad } from "../autodiff.ts";
import { swiglu } from "../composites/activation.ts";
import { rmsNorm } from "../composites/norm.ts";
import { Graph } from "../graph.ts";
import { runOn } from "../matrix.ts";
import { peakLiveBytes } from "../memory.ts";
import { add, mul } from "../ops/elementwise.ts";
import { matmul } from "../ops/matmul.ts";
import { mean } from "../ops/reduce.ts";
import { Philox } from "../random.ts";
import { ReferenceBackend } from "../reference.ts";
import { input, type Tensor, withScope } from "../tensor.ts";
import { rematerialize } from "./rematerialize.ts";

const [rows, d, hidden, blocks] = [32, 4, 16, 6];
const x = input("x", [rows, d]);
const weights: Tensor[] = [];
const values = [random(rows * d, 0)];

function random(n: number, seed: number): Float32Array {
  const draw = new Philox(seed);
  return Float32Array.from({ length: n }, () => draw.normal());
}

function weight(shape: [number, number] | [number]): Tensor {
  const w = input(`w${weights.length}`, shape);
  weights.push(w);
  values.push(
    random(
      shape.reduce((a, b) => a * b, 1),
      weights.length,
    ),
  );
  return w;
}

const segmentOf = (scope: string) => /^block\d+/.exec(scope)?.[0];

function loss(): Tensor {
  let y = x;
  for (let i = 0; i < blocks; i++)
    y = withScope(`block${i}`, () => {
      const n = rmsNorm(y, weight([d]));
      const inner = swiglu(matmul(n, weight([d, hidden])), matmul(n, weight([d, hidden])));
      return add(y, matmul(inner, weight([hidden, d])));
    });
  return mean(mul(y, y));
}

const value = loss();
const plain = valueAndGrad(value, weights);
const lean = rematerialize(plain, segmentOf);

test("values and gradients stay bit-equal", async () => {
  const backend = new ReferenceBackend();
  const leaves = [x, ...weights];
  const expected = await runOn(backend, [plain.value, ...plain.grads], leaves, values);
  const actual = await runOn(backend, [lean.value, ...lean.grads], leaves, values);
  expect(actual).toEqual(expected);
});

test("the peak of live intermediate values falls", () => {
  const peak = (g: typeof plain | typeof lean) => peakLiveBytes(new Graph([g.value, ...g.grads]));
  expect(peak(lean)).toBeLessThan(0.6 * peak(plain));
});

test("nothing changes where no segment is named", () => {
  const same = rematerialize(plain, () => undefined);
  expect(same.grads).toEqual(plain.grads);
});
