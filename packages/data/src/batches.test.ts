// Splits, training batches and evaluation windows, against what they are defined to be.
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evalWindows, readWindows } from "./eval-windows.ts";
import { buildTokenDataset, NpyDataset } from "./npy-dataset.ts";
import { splitTokens } from "./split.ts";
import { TokenBatches } from "./token-batches.ts";
import { checkTokens, MemoryTokens } from "./token-source.ts";

/** Tokens that are their own positions: a window shows where it came from. */
const positions = (n: number): MemoryTokens => new MemoryTokens(Int32Array.from({ length: n }, (_, i) => i));

describe("splitTokens", () => {
  it("covers all tokens and shares none", () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 1e9 }), fc.double({ min: 0.2, max: 0.8, noNaN: true }), (n, frac) => {
        const { train, val } = splitTokens(n, frac, 16);
        expect(train.start).toBe(0);
        expect(val).toEqual({ start: train.end, end: n });
        expect(Math.abs((n - train.end) / n - frac)).toBeLessThanOrEqual(0.5 / n + 1e-12);
      }),
    );
    expect(splitTokens(100, 0, 16)).toEqual({ train: { start: 0, end: 100 }, val: undefined });
  });

  it("lets no token that trains, as input or target, be one that validates", () => {
    const n = 1000;
    const { train, val } = splitTokens(n, 0.25, 16);
    const trained = new Set<number>();
    const batches = new TokenBatches({
      source: positions(n),
      range: train,
      blockSize: 16,
      batchSize: 4,
      seed: 1,
      vocabSize: n,
    });
    for (let step = 0; step < 2000; step++) {
      const { tokens, targets } = batches.batchAt(step);
      for (const id of [...tokens, ...targets]) trained.add(id);
    }
    const source = positions(n);
    const range = val as NonNullable<typeof val>;
    const { tokens, targets } = readWindows(source, evalWindows({ source, range, blockSize: 16 }), 16, n);
    for (const id of [...tokens, ...targets]) expect(trained.has(id)).toBe(false);
    // Over the epochs everything trains: the sets are not disjoint for want of tokens.
    expect(trained.size).toBe(750);
  });

  it("says with numbers when a part is too short", () => {
    expect(() => splitTokens(16, 0, 16, "a.npy")).toThrow(
      "a.npy has 16 tokens, too short for block_size 16, which needs 17",
    );
    expect(() => splitTokens(100, 0.1, 16, "a.npy")).toThrow(
      "the validation part of a.npy (100 tokens, val_frac 0.1) has 10 tokens, too short for block_size 16, which needs 17",
    );
    expect(() => splitTokens(100, 1, 16)).toThrow(/val_frac is 1/);
    expect(() => splitTokens(100, 0.5, 0)).toThrow(/block_size is 0/);
  });
});

describe("TokenBatches", () => {
  const n = 500;
  const make = (seed: number, more: object = {}): TokenBatches =>
    new TokenBatches({ source: positions(n), blockSize: 8, batchSize: 3, seed, vocabSize: n, ...more });

  it("targets are the tokens that follow", () => {
    for (let step = 0; step < 50; step++) {
      const { tokens, targets } = make(5).batchAt(step);
      expect(tokens).toHaveLength(24);
      expect([...targets]).toEqual([...tokens].map((id) => id + 1));
      for (let row = 0; row < 3; row++) {
        const first = tokens[row * 8] as number;
        expect([...tokens.subarray(row * 8, row * 8 + 8)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => first + i));
      }
    }
  });

  it("each epoch visits every window once, without overlap, cut and ordered unlike the others", () => {
    const batches = make(7);
    const w = batches.windowsPerEpoch;
    expect(w).toBe(Math.floor((n - 8) / 8));
    const epochs = [0, 1, 2, 3].map((epoch) => Array.from({ length: w }, (_, i) => batches.windowStart(epoch * w + i)));
    for (const starts of epochs) {
      const sorted = [...starts].sort((a, b) => a - b);
      expect(sorted).toEqual(Array.from({ length: w }, (_, i) => (sorted[0] as number) + 8 * i));
      expect(sorted[0]).toBeLessThanOrEqual(11);
      expect((sorted[w - 1] as number) + 9).toBeLessThanOrEqual(n);
      expect(starts).not.toEqual(sorted);
    }
    expect(new Set(epochs.map((starts) => Math.min(...starts))).size).toBeGreaterThan(1);
    expect(new Set(epochs.map((starts) => starts.map((s) => Math.floor(s / 8)).join())).size).toBe(4);
  });

  it("is a pure function of seed and step: a resumed run sees the same bytes", () => {
    const through = make(3);
    const batches = Array.from({ length: 200 }, (_, step) => through.batchAt(step));
    fc.assert(
      fc.property(fc.array(fc.nat(199), { minLength: 1 }), (steps) => {
        const resumed = make(3);
        for (const step of steps) expect(resumed.batchAt(step)).toEqual(batches[step]);
      }),
    );
    expect(make(4).batchAt(0)).not.toEqual(batches[0]);
  });

  it("uses every offset and every first window about equally often", () => {
    // 12 windows of 8; over 4096 epochs each of 8 offsets and 12 first windows is expected 512 and 341 times.
    const batches = new TokenBatches({ source: positions(104), blockSize: 8, batchSize: 1, seed: 1, vocabSize: 104 });
    expect(batches.windowsPerEpoch).toBe(12);
    const offsets = new Array<number>(8).fill(0);
    const firsts = new Array<number>(12).fill(0);
    for (let epoch = 0; epoch < 4096; epoch++) {
      const start = batches.windowStart(epoch * 12);
      offsets[start % 8] = (offsets[start % 8] as number) + 1;
      firsts[Math.floor(start / 8)] = (firsts[Math.floor(start / 8)] as number) + 1;
    }
    const chi = (counts: number[]): number => {
      const mean = 4096 / counts.length;
      return counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
    };
    // The 99.99 % quantiles of chi-squared with 7 and 11 degrees of freedom.
    expect(chi(offsets)).toBeLessThan(29.9);
    expect(chi(firsts)).toBeLessThan(37.4);
  });

  it("works on the shortest text and says when it is shorter", () => {
    const one = new TokenBatches({ source: positions(9), blockSize: 8, batchSize: 2, seed: 1, vocabSize: 9 });
    expect([...one.batchAt(5).tokens]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
    expect(() => new TokenBatches({ source: positions(8), blockSize: 8, batchSize: 2, seed: 1, vocabSize: 9 })).toThrow(
      /has 8 tokens, too short for block_size 8, which needs 9/,
    );
    for (let length = 9; length < 60; length++) {
      const batches = new TokenBatches({
        source: positions(length),
        blockSize: 8,
        batchSize: 1,
        seed: 2,
        vocabSize: 60,
      });
      for (let step = 0; step < 40; step++) expect(batches.windowStart(step) + 9).toBeLessThanOrEqual(length);
    }
  });

  it("reads in order when not shuffled", () => {
    const plain = make(1, { shuffle: false });
    expect(plain.windowsPerEpoch).toBe(62);
    expect([0, 1, 2].map((i) => plain.windowStart(i))).toEqual([0, 8, 16]);
    expect(plain.windowStart(62)).toBe(0);
  });

  it("names file, position, id, vocabulary and likely cause of an id beyond the vocabulary", () => {
    const source = new MemoryTokens(
      Int32Array.from({ length: 40 }, (_, i) => (i === 30 ? 300 : 1)),
      "a.npy",
    );
    const batches = new TokenBatches({ source, blockSize: 8, batchSize: 5, seed: 1, vocabSize: 256, shuffle: false });
    const message = "a.npy: token 30 has id 300, but the vocabulary has 256 ids (0 to 255)";
    expect(() => batches.batchAt(0)).toThrow(message);
    expect(() => checkTokens(source, 256)).toThrow(message);
    expect(() => checkTokens(source, 301)).not.toThrow();
    try {
      checkTokens(source, 256);
    } catch (error) {
      expect(error).toMatchObject({ code: "token-id", remedy: expect.stringContaining("another tokenizer") });
    }
  });
});

describe("evalWindows", () => {
  it("never overlap, lie inside, and reach from end to end when spread", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.nat(3000),
        fc.nat(50),
        fc.nat(500),
        (blockSize, extra, many, start) => {
          const n = blockSize + 1 + extra;
          const source = positions(start + n + 7);
          const range = { start, end: start + n };
          const fit = Math.floor((n - 1) / blockSize);
          const count = 1 + (many % fit);
          const starts = evalWindows({ source, range, blockSize, count });
          expect(starts).toHaveLength(count);
          expect(starts[0]).toBe(start);
          for (let i = 1; i < count; i++)
            expect((starts[i] as number) - (starts[i - 1] as number)).toBeGreaterThanOrEqual(blockSize);
          expect((starts.at(-1) as number) + blockSize + 1).toBeLessThanOrEqual(range.end);
          if (count > 1) expect((starts.at(-1) as number) + blockSize + 1).toBe(range.end);
          expect(evalWindows({ source, range, blockSize })).toHaveLength(fit);
        },
      ),
    );
  });

  it("take the first ones when not spread", () => {
    expect(evalWindows({ source: positions(100), blockSize: 10, count: 3, spread: false })).toEqual([0, 10, 20]);
  });

  it("say how many fit when more are asked for", () => {
    expect(() => evalWindows({ source: positions(100), blockSize: 10, count: 10 })).toThrow(
      "tokens in memory: 10 non-overlapping windows of 10 tokens asked for, but 100 tokens hold 9",
    );
  });

  it("score each token once", () => {
    const source = positions(101);
    const { targets } = readWindows(source, evalWindows({ source, blockSize: 10 }), 10, 101);
    expect([...targets]).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  });
});

describe("NpyDataset", () => {
  it("has a window at every position, as the original", () => {
    const dataset = new NpyDataset(positions(20), { blockSize: 8 });
    expect(dataset.length).toBe(12);
    expect([...dataset.item(11).x]).toEqual([11, 12, 13, 14, 15, 16, 17, 18]);
    expect([...dataset.item(11).y]).toEqual([12, 13, 14, 15, 16, 17, 18, 19]);
    expect(() => dataset.item(12)).toThrow(RangeError);
  });

  it("says when the file is missing or too short", () => {
    expect(() => buildTokenDataset({ path: "absent.npy", blockSize: 8 })).toThrow(/no such token file/);
    const fixture = fileURLToPath(new URL("../../../fixtures/data/good-i4.npy", import.meta.url));
    expect(() => buildTokenDataset({ path: fixture, blockSize: 8 })).toThrow(
      /has 7 tokens, too short for block_size 8/,
    );
    const dataset = buildTokenDataset({ path: fixture, blockSize: 6 });
    expect([...dataset.item(0).y]).toEqual([1, 2, 127, 100, 5, 63]);
    dataset.close();
  });
});
