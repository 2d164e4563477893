import { expect, test } from "vitest";
import { tCoverage, tQuantile } from "./student-t.ts";

test("quantiles agree with the printed tables", () => {
  // Two-sided 95 % and 99 %, from the tables of any statistics book.
  const printed: [confidence: number, df: number, t: number][] = [
    [0.95, 1, 12.7062],
    [0.95, 2, 4.30265],
    [0.95, 3, 3.18245],
    [0.95, 10, 2.22814],
    [0.95, 29, 2.04523],
    [0.95, 100, 1.98397],
    [0.99, 5, 4.03214],
    [0.99, 20, 2.84534],
    [0.9, 7, 1.89458],
  ];
  for (const [confidence, df, t] of printed) expect(tQuantile(confidence, df)).toBeCloseTo(t, 3);
});

test("many degrees of freedom approach the normal distribution", () => {
  expect(tQuantile(0.95, 200_001)).toBeCloseTo(1.95997, 4);
  expect(tCoverage(1, 100_000)).toBeCloseTo(0.682688, 5);
});

test("impossible intervals are refused", () => {
  expect(() => tQuantile(0.95, 0)).toThrow(/degrees of freedom/);
  expect(() => tQuantile(1, 5)).toThrow(/confidence 1/);
});
