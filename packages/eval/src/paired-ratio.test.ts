import { expect, test } from "vitest";
import { pairedPerplexityRatio } from "./paired-ratio.ts";

test("three windows by hand", () => {
  // Differences per token 0.1, 0.2, 0.3: mean 0.2, deviation 0.1, error 0.1 / sqrt 3; t(0.975, 2) = 4.302653.
  const half = (4.302652730749464 * 0.1) / Math.sqrt(3);
  const result = pairedPerplexityRatio([10, 20, 30], [11, 22, 33], 10);
  expect(result.deltaNll).toBeCloseTo(0.2, 12);
  expect(result.ratio).toBeCloseTo(Math.exp(0.2), 12);
  expect(result.ciLow).toBeCloseTo(Math.exp(0.2 - half), 8);
  expect(result.ciHigh).toBeCloseTo(Math.exp(0.2 + half), 8);
  expect(result).toMatchObject({ nWindows: 3, confidence: 0.95, method: "paired t interval over windows" });
});

test("what windows have in common cancels", () => {
  const teacher = [10, 500, 90, 1000];
  const shifted = pairedPerplexityRatio(
    teacher,
    teacher.map((v) => v + 5),
    100,
  );
  expect(shifted.ratio).toBeCloseTo(Math.exp(0.05), 12);
  expect(shifted.ciHigh - shifted.ciLow).toBeLessThan(1e-9);
  expect(pairedPerplexityRatio(teacher, teacher, 100)).toMatchObject({ ratio: 1, ciLow: 1, ciHigh: 1 });
});

test("exchanging the models inverts ratio and interval", () => {
  const [a, b] = [
    [31, 29, 35],
    [30, 33, 39],
  ];
  const [forth, back] = [pairedPerplexityRatio(a, b, 8), pairedPerplexityRatio(b, a, 8)];
  expect(back.ratio).toBeCloseTo(1 / forth.ratio, 12);
  expect(back.ciLow).toBeCloseTo(1 / forth.ciHigh, 12);
});

test("more confidence is a wider interval", () => {
  const of = (confidence: number) => pairedPerplexityRatio([1, 2, 3, 4], [1.1, 2.3, 3.2, 4.4], 1, { confidence });
  expect(of(0.99).ciHigh).toBeGreaterThan(of(0.95).ciHigh);
  expect(of(0.99).ciLow).toBeLessThan(of(0.95).ciLow);
});

test("one window, unequal windows and losses that are no numbers are refused", () => {
  expect(() => pairedPerplexityRatio([1], [1], 4)).toThrow(/two or more windows/);
  expect(() => pairedPerplexityRatio([1, 2], [1, 2, 3], 4)).toThrow(/2 of the teacher and 3/);
  expect(() => pairedPerplexityRatio([1, 2], [1, Number.NaN], 4)).toThrow(/not a finite number/);
});
