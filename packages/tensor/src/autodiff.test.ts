// Gradients with respect to inner nodes: where composites without a gradient rule lie between them, or are them.
import { expect, test } from "vitest";
import { pullback, valueAndGrad } from "./autodiff.ts";
import { attention } from "./composites/attention.ts";
import { runOn } from "./matrix.ts";
import { add, mul } from "./ops/elementwise.ts";
import { mean } from "./ops/reduce.ts";
import { sum } from "./ops/shape.ts";
import { ReferenceBackend } from "./reference.ts";
import { input, type Tensor } from "./tensor.ts";

const backend = new ReferenceBackend();
const [x, shift] = [input("x", [1, 1, 3, 2]), input("shift", [1, 1, 3, 2])];
const look = (y: Tensor): Tensor => attention(y, y, y, { scale: 0.7, causal: true });
const values = [Float32Array.of(0.3, -0.8, 1.1, 0.4, -0.5, 0.9), new Float32Array(6)];

/** f(h + shift) for a middle h, so that the slope in shift is the gradient with respect to h. */
async function slopes(loss: Tensor): Promise<number[]> {
  const at = async (i: number, by: number): Promise<number> => {
    const moved = Float32Array.from({ length: 6 }, (_, j) => (i === j ? by : 0));
    const [found] = await runOn(backend, [loss], [x, shift], [values[0] as Float32Array, moved]);
    return Number(found?.[0]);
  };
  return Promise.all(Array.from({ length: 6 }, async (_, i) => ((await at(i, 0.01)) - (await at(i, -0.01))) / 0.02));
}

const close = (found: ArrayLike<number> | undefined, expected: readonly number[]) => {
  expect(expected.some((value) => Math.abs(value) > 0.01)).toBe(true);
  expected.forEach((value, i) => {
    expect(found?.[i]).toBeCloseTo(value, 3);
  });
};

test("of one that comes behind another, with attention between them and behind", async () => {
  const first = add(x, mul(x, 0.5));
  const second = add(add(look(first), mul(first, 0.3)), shift);
  const loss = mean(mul(look(second), second));
  const { value, grads, map } = valueAndGrad(loss, [first, second, x], [second]);
  const outputs = [value, ...grads, map(second)];
  const [, gFirst, gSecond, gx, kept] = await runOn(backend, outputs, [x, shift], values as Float32Array[]);
  close(gSecond, await slopes(loss));
  // first = 1.5 x.
  close(
    gx,
    Array.from(gFirst ?? [], (g) => 1.5 * g),
  );
  const [same] = await runOn(backend, [second], [x, shift], values as Float32Array[]);
  expect(kept).toEqual(same);
});

test("of attention's own output, also in a pullback", async () => {
  const seen = look(x);
  const moved = add(seen, shift);
  const loss = sum(mul(look(moved), moved));
  const [g] = valueAndGrad(loss, [seen]).grads;
  const one = input("one", []);
  const [pulled] = pullback([loss], [one], [seen]);
  const expected = await slopes(loss);
  const [found] = await runOn(backend, [g as Tensor], [x, shift], values as Float32Array[]);
  close(found, expected);
  const [again] = await runOn(
    backend,
    [pulled as Tensor],
    [x, shift, one],
    [...(values as Float32Array[]), Float32Array.of(1)],
  );
  close(again, expected);
});
