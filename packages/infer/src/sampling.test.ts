// Sampling against a slow oracle that follows the definitions one by one, and draws against their probabilities.
import { Philox } from "@caramba/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { argmax, distribution, type SamplingOptions, sampleToken } from "./sampling.ts";

const plain: SamplingOptions = { temperature: 1, topK: null, topP: null };

/** Softmax of logits / temperature; then what is below the k-th logit goes; then all but the smallest nucleus. */
function oracle(logits: readonly number[], { temperature, topK, topP }: SamplingOptions): number[] {
  const normalise = (p: number[]): number[] => p.map((v) => v / p.reduce((a, b) => a + b, 0));
  const exp = logits.map((l) => Math.exp(l / temperature));
  const descending = [...logits].sort((a, b) => b - a);
  const limit = topK === null ? Number.NEGATIVE_INFINITY : (descending[Math.min(topK, logits.length) - 1] as number);
  let p = normalise(exp.map((v, i) => ((logits[i] as number) >= limit ? v : 0)));
  if (topP !== null && topP > 0 && topP < 1) {
    const order = p.map((_, i) => i).sort((a, b) => (p[b] as number) - (p[a] as number) || a - b);
    const nucleus = new Set<number>();
    let mass = 0;
    for (const i of order) {
      if (nucleus.size > 0 && mass > topP) break;
      nucleus.add(i);
      mass += p[i] as number;
    }
    p = normalise(p.map((v, i) => (nucleus.has(i) ? v : 0)));
  }
  return p;
}

describe("distribution", () => {
  it("follows the definitions", () => {
    const options = fc.record({
      temperature: fc.double({ min: 0.3, max: 3, noNaN: true }),
      topK: fc.option(fc.integer({ min: 1, max: 12 })),
      topP: fc.option(fc.double({ min: 0.05, max: 1, noNaN: true })),
    });
    // Quarters make ties frequent.
    const logits = fc.array(fc.integer({ min: -12, max: 12 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(logits, options, (quarters, o) => {
        const values = quarters.map((v) => v / 4);
        const found = distribution(Float32Array.from(values), o);
        const expected = oracle(values, o);
        // A cumulative mass that equals p up to rounding may fall on either side: such draws decide nothing.
        fc.pre(
          o.topP === null || [...found].every((v, i) => (v === 0) === (expected[i] === 0)) || !nearEdge(values, o),
        );
        found.forEach((v, i) => {
          expect(v).toBeCloseTo(expected[i] as number, 9);
        });
      }),
      { numRuns: 500 },
    );
  });

  const nearEdge = (logits: number[], o: SamplingOptions): boolean => {
    const p = oracle(logits, { ...o, topP: null }).sort((a, b) => b - a);
    let mass = 0;
    return p.some((v) => {
      mass += v;
      return Math.abs(mass - (o.topP as number)) < 1e-9;
    });
  };

  it("keeps all that tie with the k-th", () => {
    const p = distribution(Float32Array.of(1, 3, 1, 0, 1), { ...plain, topK: 2 });
    expect([...p].map((v) => v > 0)).toEqual([true, true, true, false, true]);
  });

  it("keeps the smallest set whose mass exceeds p", () => {
    // Probabilities 0.5, 0.25, 0.25: a mass of exactly 0.5 does not exceed 0.5.
    const logits = Float32Array.of(Math.log(2), 0, 0);
    const kept = (topP: number) => [...distribution(logits, { ...plain, topP })].filter((v) => v > 0).length;
    expect(kept(0.49)).toBe(1);
    expect(kept(0.51)).toBe(2);
    expect(kept(0.76)).toBe(3);
    expect(kept(1)).toBe(3);
    expect([...distribution(Float32Array.of(9, 0), { ...plain, topP: 1e-9 })]).toEqual([1, 0]);
    // Two halves, exactly: the first alone does not exceed a half.
    expect([...distribution(Float32Array.of(0, 0), { ...plain, topP: 0.5 })]).toEqual([0.5, 0.5]);
  });

  it("is greedy at temperature 0, the first among equals", () => {
    expect([...distribution(Float32Array.of(0, 2, 2), { ...plain, temperature: 0 })]).toEqual([0, 1, 0]);
    expect(sampleToken(Float32Array.of(0, 2, 2), { ...plain, temperature: 0 }, 0.99)).toBe(1);
    expect(argmax(Float32Array.of(-5, -1, -3))).toBe(1);
  });

  it("gives tokens at minus infinity no mass, and refuses what is no distribution", () => {
    expect([...distribution(Float32Array.of(Number.NEGATIVE_INFINITY, 0, 0), plain)]).toEqual([0, 0.5, 0.5]);
    for (const bad of [[Number.NaN, 1], [1, Number.NaN], [Number.POSITIVE_INFINITY, 0], [Number.NEGATIVE_INFINITY]])
      for (const temperature of [0, 1])
        expect(() => sampleToken(Float32Array.from(bad), { ...plain, temperature }, 0.5)).toThrow(
          expect.objectContaining({ code: "nan" }) as Error,
        );
  });
});

describe("sampleToken", () => {
  it("inverts the cumulative distribution", () => {
    const logits = Float32Array.from([0.5, 0.25, 0.25], Math.log);
    expect([0, 0.49, 0.51, 0.74, 0.76, 0.999999].map((u) => sampleToken(logits, plain, u))).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it("draws with the probabilities it computes (chi-square)", () => {
    const logits = Float32Array.of(0.3, -1, 2, 0.3, 1, -0.5);
    const options = { temperature: 1.3, topK: 5, topP: 0.95 };
    const p = oracle([...logits], options);
    const random = new Philox(123);
    const counts = new Array<number>(logits.length).fill(0);
    const n = 20_000;
    for (let i = 0; i < n; i++) {
      const token = sampleToken(logits, options, random.uniform());
      counts[token] = (counts[token] as number) + 1;
    }
    const chi = p.reduce((s, v, i) => (v === 0 ? s : s + ((counts[i] as number) - n * v) ** 2 / (n * v)), 0);
    p.forEach((v, i) => {
      if (v === 0) expect(counts[i]).toBe(0);
    });
    // 99.9th percentile with at most 5 degrees of freedom.
    expect(chi).toBeLessThan(20.5);
  });
});
