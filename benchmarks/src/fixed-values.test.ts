// The generator against published values of MurmurHash3's 32-bit finaliser, and its statistics against closed forms.
import { expect, test } from "vitest";
import { fixedTokens, fixedWeights, mixed, targetsOf } from "./fixed-values.ts";

test("the first number of a key is MurmurHash3's finaliser of that key", () => {
  // fmix32 of 0, 1 and 2 (Appleby's reference implementation).
  for (const [key, hash] of [
    [0, 0],
    [1, 0x514e28b7],
    [2, 0x30f4c306],
  ] as const)
    expect(mixed(1, key)[0]).toBe((hash >>> 8) / 2 ** 24);
});

test("weights are uniform: mean 0 and variance bound^2 / 3 within five standard errors", () => {
  const n = 200_000;
  const w = fixedWeights(3, [400, 500], 0.5);
  const mean = w.reduce((a, b) => a + b, 0) / n;
  const variance = w.reduce((a, b) => a + b * b, 0) / n;
  expect(Math.abs(mean)).toBeLessThan((5 * 0.5) / Math.sqrt(3 * n));
  // Variance of u^2 for u uniform in [-b, b): b^4 (1/5 - 1/9).
  expect(Math.abs(variance - 0.25 / 3)).toBeLessThan(5 * 0.25 * Math.sqrt((1 / 5 - 1 / 9) / n));
});

test("tokens fill the vocabulary and differ from step to step; targets are a permutation where 3 does not divide it", () => {
  const a = fixedTokens(0, 8, 512, 64);
  expect(new Set(a).size).toBe(64);
  expect(Math.max(...a)).toBe(63);
  expect(fixedTokens(1, 8, 512, 64)).not.toEqual(a);
  const all = targetsOf(
    Int32Array.from({ length: 64 }, (_, i) => i),
    64,
  );
  expect(new Set(all).size).toBe(64);
  expect(all[5]).toBe(16);
});
