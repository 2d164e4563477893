// softplus where the textbook's formula fails: far from zero, in what float32 tells apart, against Math.log1p.
import { expect, test } from "vitest";
import { grad } from "../autodiff.ts";
import { runOn } from "../matrix.ts";
import { sum } from "../ops/shape.ts";
import { ReferenceBackend } from "../reference.ts";
import { input } from "../tensor.ts";
import { softplus } from "./activation.ts";

test("softplus and its slope, from -85 to 85 and at what is no number", async () => {
  const values = Float32Array.from({ length: 1701 }, (_, i) => i / 10 - 85);
  values.set([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, Number.NaN]);
  const x = input("x", [values.length]);
  const y = softplus(x);
  const [found, slope] = await runOn(new ReferenceBackend(), [y, ...grad(sum(y), [x])], [x], [values]);
  expect([found, slope].map((all) => [...(all ?? [])].slice(0, 3))).toEqual([
    [0, Number.POSITIVE_INFINITY, Number.NaN],
    [0, 1, Number.NaN],
  ]);
  values.subarray(3).forEach((v, i) => {
    const expected = v > 0 ? v + Math.log1p(Math.exp(-v)) : Math.log1p(Math.exp(v));
    expect(Math.abs((found?.[i + 3] ?? 0) / expected - 1)).toBeLessThan(1e-7);
    const rise = v > 0 ? 1 / (1 + Math.exp(-v)) : Math.exp(v) / (1 + Math.exp(v));
    expect(Math.abs((slope?.[i + 3] ?? 0) / rise - 1)).toBeLessThan(1e-7);
  });
});
