// Bytes alive at one time, counted by hand.
import { expect, test } from "vitest";
import { sym } from "./dim.ts";
import { Graph } from "./graph.ts";
import { peakLiveBytes } from "./memory.ts";
import { add, exp, mul, tanh } from "./ops/elementwise.ts";
import { matmul } from "./ops/matmul.ts";
import { scan } from "./ops/scan.ts";
import { reshape, sum } from "./ops/shape.ts";
import { input, type Tensor } from "./tensor.ts";

const float = 4;

test("a value lives from where it is made to its last use; leaves, outputs and reshapes are free", () => {
  const x = input("x", [10]);
  const a = exp(x);
  const b = tanh(reshape(a, [2, 5]));
  const late = mul(reshape(b, [10]), a);
  // a with b at the product; the product itself and its sum follow when both are gone or going.
  expect(peakLiveBytes(new Graph([late]))).toBe(2 * 10 * float);
  expect(peakLiveBytes(new Graph([sum(late)]))).toBe(3 * 10 * float);
  expect(peakLiveBytes(new Graph([late, b]))).toBe(10 * float);
  expect(
    peakLiveBytes(new Graph([exp(input("y", [sym("T")])), tanh(exp(input("z", [sym("T")])))]), new Map([["T", 6]])),
  ).toBe(6 * float);
});

/** h W1 W2 + x with a wide middle: h [2, 3], x [T, 2, 3], W1 [3, width], W2 [width, 3]. */
function wide(length: number | ReturnType<typeof sym>, width: number) {
  const [h, x] = [input("h", [2, 3]), input("x", [length, 2, 3])];
  const shared = [input("w1", [3, width]), input("w2", [width, 3])];
  const { carry, out } = scan({ carry: [h], xs: [x], shared }, ([now], [xt], [w1, w2]) => {
    const middle = matmul(now as Tensor, w1 as Tensor);
    const next = add(matmul(middle, w2 as Tensor), xt as Tensor);
    return { carry: [next], out: [mul(next, 2)] };
  });
  return { last: carry[0] as Tensor, rows: out[0] as Tensor };
}

const state = 2 * 3 * float;

test("while a loop runs there are its carries twice, one step's values, and the rows so far", () => {
  for (const width of [1, 50]) {
    const { last, rows } = wide(sym("T"), width);
    // In a step: the middle and its product, or the product and nothing else; the sum is the next carry.
    const step = Math.max(2 * width * float + state, state);
    for (const length of [1, 40]) {
      const peak = (...outputs: Tensor[]) => peakLiveBytes(new Graph(outputs), new Map([["T", length]]));
      expect(peak(last)).toBe(2 * state + step);
      expect(peak(sum(last))).toBe(2 * state + step);
      expect(peak(rows)).toBe(2 * state + step);
      expect(peak(sum(rows))).toBe(length * state + 2 * state + step);
      expect(peak(sum(rows), sum(last))).toBe(length * state + 2 * state + step);
    }
  }
});

test("what lives beside a loop counts too, and after it only what it made", () => {
  const { last, rows } = wide(4, 50);
  const kept = exp(input("kept", [100]));
  const sums = add(sum(rows), add(sum(last), sum(kept)));
  // kept was made after the loop: its 400 bytes meet the rows and the last carry, not the step.
  const after = 100 * float + 4 * state + state;
  const during = 4 * state + 2 * state + 2 * 50 * float + state;
  expect(peakLiveBytes(new Graph([sums]))).toBe(Math.max(after, during));
  const before = exp(input("before", [2, 3]));
  const loop = scan({ carry: [before], xs: [input("x", [9, 2, 3])] }, ([now], [xt]) => ({
    carry: [tanh(mul(now as Tensor, exp(xt as Tensor)))],
    out: [],
  }));
  // The start; two carries; exp and the product.
  expect(peakLiveBytes(new Graph(loop.carry))).toBe(state + 2 * state + 2 * state);
});

test("a loop in a loop: the step of the inner one at its peak within a step of the outer", () => {
  const [h, x] = [input("h", [2, 3]), input("x", [8, 5, 2, 3])];
  const { carry } = scan({ carry: [h], xs: [x] }, ([now], [rows]) => {
    const inner = scan({ carry: [now as Tensor], xs: [rows as Tensor] }, (c, r) => {
      const next = tanh(mul(c[0] as Tensor, exp(r[0] as Tensor)));
      return { carry: [next], out: [next] };
    });
    return { carry: [sum(inner.out[0] as Tensor, [0])], out: [] };
  });
  // Two carries each, the inner loop's five rows, exp and the product.
  expect(peakLiveBytes(new Graph([sum(carry[0] as Tensor)]))).toBe(2 * state + 5 * state + 2 * state + 2 * state);
});
