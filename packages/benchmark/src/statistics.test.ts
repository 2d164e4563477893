import fc from "fast-check";
import { expect, test } from "vitest";
import { deviation, percentile } from "./statistics.ts";

test("percentiles interpolate as NumPy does", () => {
  // numpy.percentile([15, 20, 35, 40, 50], [40, 50, 95, 99])
  const values = [50, 15, 40, 20, 35];
  expect(percentile(values, 0.4)).toBeCloseTo(29, 12);
  expect(percentile(values, 0.5)).toBe(35);
  expect(percentile(values, 0.95)).toBeCloseTo(48, 12);
  expect(percentile(values, 0.99)).toBeCloseTo(49.6, 12);
  expect(percentile([], 0.5)).toBeNull();
  expect(percentile([7], 0.99)).toBe(7);
});

test("with 20 samples the 95th and 99th percentile are not both the maximum", () => {
  const values = Array.from({ length: 20 }, (_, i) => i);
  expect(percentile(values, 0.95)).toBeCloseTo(18.05, 12);
  expect(percentile(values, 0.99)).toBeCloseTo(18.81, 12);
});

test("percentiles are monotonic and within the data", () => {
  const data = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 50 });
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(data, share, share, (values, a, b) => {
      const [low, high] = [percentile(values, Math.min(a, b)) as number, percentile(values, Math.max(a, b)) as number];
      expect(low).toBeLessThanOrEqual(high + 1e-9);
      expect(low).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9);
      expect(high).toBeLessThanOrEqual(Math.max(...values) + 1e-9);
    }),
  );
});

test("deviation needs two values", () => {
  expect(deviation([1])).toBeNull();
  expect(deviation([1, 3])).toBeCloseTo(Math.SQRT2, 12);
});
