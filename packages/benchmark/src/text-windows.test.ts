import { MemoryTokens, splitTokens } from "@caramba/data";
import { expect, test } from "vitest";
import { chooseWindows, rangeOf, windowReader } from "./text-windows.ts";

const source = new MemoryTokens(Int32Array.from({ length: 1000 }, (_, i) => i % 7));
const split = splitTokens(1000, 0.2, 10);

test("auto is the held-out part", () => {
  expect(rangeOf("auto", source, split)).toEqual({ start: 800, end: 1000 });
  expect(rangeOf("train", source, split)).toEqual({ start: 0, end: 800 });
  expect(rangeOf("auto", source)).toEqual({ start: 0, end: 1000 });
  expect(rangeOf("all", source, split)).toEqual({ start: 0, end: 1000 });
  expect(() => rangeOf("val", source)).toThrow(/has no val part/);
  expect(rangeOf("auto", source, splitTokens(1000, 0, 10))).toEqual({ start: 0, end: 1000 });
});

test("windows do not overlap and reach the end of the part", () => {
  const { starts, scored } = chooseWindows({ source, range: { start: 800, end: 1000 }, blockSize: 10, count: 5 });
  expect(scored).toBe(10);
  starts.slice(1).forEach((start, i) => {
    expect(start - (starts[i] as number)).toBeGreaterThanOrEqual(10);
  });
  expect(starts[0]).toBe(800);
  expect((starts.at(-1) as number) + 10 + 1).toBe(1000);
});

test("a stride below the block scores each token once, with context before it", () => {
  for (const count of [null, 3]) {
    const { starts, scored } = chooseWindows({
      source,
      range: { start: 0, end: 100 },
      blockSize: 10,
      count,
      stride: 4,
    });
    const targets = starts.flatMap((start) => Array.from({ length: scored }, (_, i) => start + 10 - scored + i));
    expect(new Set(targets).size).toBe(targets.length);
    expect(Math.max(...starts) + 10).toBeLessThan(100);
  }
});

test("a stride above the block leaves gaps", () => {
  const { starts, scored } = chooseWindows({
    source,
    range: { start: 0, end: 100 },
    blockSize: 10,
    count: null,
    stride: 30,
  });
  expect(starts).toEqual([0, 30, 60]);
  expect(scored).toBe(10);
});

test("fewer windows than asked are used with a warning, none at all is an error", () => {
  const { starts, warning } = chooseWindows({ source, range: { start: 800, end: 1000 }, blockSize: 50, count: 100 });
  expect(starts).toHaveLength(3);
  expect(warning).toMatch(/100 windows of 50 tokens were asked for.*holds 3; all 3 were used/);
  expect(() => chooseWindows({ source, range: { start: 800, end: 850 }, blockSize: 50, count: 1 })).toThrow(
    /too short/,
  );
});

test("a reader reads the asked part and checks ids", () => {
  const read = windowReader({ tokens: source, split, vocabSize: 7 });
  const { tokens, targets, blockSize } = read({ blockSize: 10, count: 2, split: "auto" });
  expect(blockSize).toBe(10);
  expect([...tokens.subarray(0, 10)]).toEqual([...source.read(800, 810)]);
  expect([...targets.subarray(10)]).toEqual([...source.read(990, 1000)]);
  expect(() =>
    windowReader({ tokens: source, split, vocabSize: 6 })({ blockSize: 10, count: 2, split: "auto" }),
  ).toThrow(/id 6, but the vocabulary has 6/);
});
