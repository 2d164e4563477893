import { describe, expect, test } from "vitest";
import { Philox, philoxBlock, streamOf } from "./random.ts";

describe("Philox4x32-10", () => {
  // kat_vectors of the Random123 distribution (Salmon et al.).
  test.each([
    {
      counter: [0, 0, 0, 0],
      key: [0, 0],
      expected: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      expected: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      expected: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ])("known answer for key $key", ({ counter, key, expected }) => {
    const block = philoxBlock(counter as [number, number, number, number], key as [number, number]);
    expect(block).toEqual(expected);
  });

  test("a stream is the blocks of counters 0, 1, ... under (seed, stream)", () => {
    const [seed, stream] = [0x12345 * 2 ** 32 + 0x6789abcd, 0x42 * 2 ** 32 + 7];
    const random = new Philox(seed, stream);
    const key = [0x6789abcd, 0x12345] as const;
    for (let block = 0; block < 3; block++) {
      const words = [random.nextUint32(), random.nextUint32(), random.nextUint32(), random.nextUint32()];
      expect(words).toEqual(philoxBlock([block, 0, 7, 0x42], key));
    }
  });

  test("the same seed and stream give the same numbers; another seed or stream gives others", () => {
    const draw = (seed: number, stream?: number) => [...new Philox(seed, stream).fillUniform(new Float32Array(8))];
    expect(draw(1, 2)).toEqual(draw(1, 2));
    const all = [draw(1, 2), draw(2, 2), draw(1, 3), draw(1), draw(1 + 2 ** 32, 2), draw(1, 2 + 2 ** 32)];
    expect(new Set(all.map(String)).size).toBe(all.length);
  });
});

describe("distributions", () => {
  const n = 100_000;

  test("uniform: in [0, 1), exact in float32, moments and a chi-square over 64 bins", () => {
    const random = new Philox(3);
    const bins = new Float64Array(64);
    let [total, squares] = [0, 0];
    for (let i = 0; i < n; i++) {
      const u = random.uniform();
      if (!(u >= 0 && u < 1) || Math.fround(u) !== u) throw new Error(`${u}`);
      bins[Math.floor(u * 64)] = (bins[Math.floor(u * 64)] as number) + 1;
      total += u;
      squares += u * u;
    }
    expect(Math.abs(total / n - 1 / 2)).toBeLessThan(4 / Math.sqrt(12 * n));
    expect(Math.abs(squares / n - 1 / 3)).toBeLessThan(4 * Math.sqrt(4 / 45 / n));
    const chi = bins.reduce((x, count) => x + (count - n / 64) ** 2 / (n / 64), 0);
    // 63 degrees of freedom: 103.4 at one in a thousand.
    expect(chi).toBeLessThan(103.4);
  });

  test("normal: mean, variance, skewness and kurtosis", () => {
    const random = new Philox(4);
    const moments = [0, 0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      const x = random.normal();
      for (let k = 1; k <= 4; k++) moments[k] = (moments[k] as number) + x ** k / n;
    }
    const [, m1, m2, m3, m4] = moments as [number, number, number, number, number];
    expect(Math.abs(m1)).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(m2 - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
    expect(Math.abs(m3)).toBeLessThan(4 * Math.sqrt(15 / n));
    expect(Math.abs(m4 - 3)).toBeLessThan(4 * Math.sqrt(96 / n));
  });

  test("below: every value, none beyond, evenly", () => {
    const random = new Philox(5);
    const counts = new Float64Array(7);
    for (let i = 0; i < 70_000; i++) {
      const value = random.below(7);
      counts[value] = (counts[value] as number) + 1;
    }
    expect(counts.reduce((a, b) => a + b, 0)).toBe(70_000);
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(4 * Math.sqrt(70_000 * (6 / 49)));
  });
});

test("streams of names: FNV-1a of the published test vectors", () => {
  expect(streamOf("")).toBe(0x811c9dc5);
  expect(streamOf("a")).toBe(0xe40c292c);
  expect(streamOf("foobar")).toBe(0xbf9cf968);
});
