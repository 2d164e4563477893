// What attention refuses, and closed forms of its masks: with equal scores a query gives its value heads the mean of what
// it sees. The value of key j is 2^j (sinks: negative powers), so that every set of keys has its own sum.
import { expect, test } from "vitest";
import { sym } from "../dim.ts";
import { compile } from "../program.ts";
import { ReferenceBackend } from "../reference.ts";
import { constant, input, type Tensor } from "../tensor.ts";
import { attention } from "./attention.ts";
import type { UncachedAttentionOptions } from "./attention-parts.ts";
import { cachedAttention } from "./cached-attention.ts";

const backend = new ReferenceBackend();
const zeros = (...shape: number[]) => constant(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const powers = (shape: readonly number[], from: number, count: number, sign = 1) =>
  constant(
    Float32Array.from({ length: count }, (_, j) => 2 ** (sign * (from + j))),
    shape,
  );

/** Mean of the values of the keys that `sees` names, and of all sinks. */
const mean = (keys: readonly number[], sinks: number): number => {
  const all = [...keys.map((j) => 2 ** j), ...Array.from({ length: sinks }, (_, j) => 2 ** -(1 + j))];
  return all.reduce((a, b) => a + b, 0) / all.length;
};

async function read(y: Tensor): Promise<number[]> {
  const program = await compile({ outputs: { y } }, { backend });
  return [...((await program.read())["y"] as Float32Array)];
}

const sinksOf = (n: number) => ({ k: zeros(1, n, 2), v: powers([1, n, 1], 1, n, -1) });

test.each([
  { causal: true, window: undefined, sinks: 0 },
  { causal: true, window: 2, sinks: 0 },
  { causal: false, window: 2, sinks: 0 },
  { causal: true, window: undefined, sinks: 1 },
  { causal: true, window: 1, sinks: 2 },
  { causal: false, window: 2, sinks: 1 },
  { causal: false, window: 1, sinks: 0 },
  { causal: false, window: undefined, sinks: 1 },
  { causal: true, window: 9, sinks: 0 },
])("visible are exactly the keys of %j, uncached and over a cache", async ({ causal, window, sinks }) => {
  const length = 6;
  const options = { causal, ...(window ? { window } : {}), ...(sinks ? { sinks: sinksOf(sinks) } : {}) };
  const expected = (query: number) =>
    mean(
      [...Array(length).keys()].filter((j) => (!causal || j <= query) && (!window || Math.abs(query - j) < window)),
      sinks,
    );
  const whole = attention(
    zeros(1, 1, length, 2),
    zeros(1, 1, length, 2),
    powers([1, 1, length, 1], 0, length),
    options,
  );
  const all = [...Array(length).keys()].map(expected);
  (await read(whole)).forEach((v, i) => {
    expect(v).toBeCloseTo(all[i] as number, 5);
  });
  // Three new positions onto three cached ones: a query's position counts the cache, and no sink shifts it.
  const [fresh, past] = [powers([1, 1, 3, 1], 3, 3), powers([3, 1, 1], 0, 3)];
  const step = cachedAttention(zeros(1, 1, 3, 2), zeros(1, 1, 3, 2), fresh, zeros(3, 1, 2), past, options);
  (await read(step)).forEach((v, i) => {
    expect(v).toBeCloseTo(all[3 + i] as number, 5);
  });
  // The last position alone, onto all others; and the first onto nothing.
  const one = (at: number) =>
    cachedAttention(
      zeros(1, 1, 1, 2),
      zeros(1, 1, 1, 2),
      powers([1, 1, 1, 1], at, 1),
      zeros(at, 1, 2),
      powers([at, 1, 1], 0, at),
      options,
    );
  expect((await read(one(length - 1)))[0]).toBeCloseTo(all[length - 1] as number, 5);
  expect((await read(one(0)))[0]).toBeCloseTo(mean([0], sinks), 5);
});

test("queries may stand anywhere among the keys", async () => {
  const y = attention(zeros(1, 1, 2, 2), zeros(1, 1, 6, 2), powers([1, 1, 6, 1], 0, 6), { first: 2, window: 2 });
  expect(await read(y)).toEqual([mean([1, 2], 0), mean([2, 3], 0)]);
});

test.each<[string, UncachedAttentionOptions, RegExp]>([
  ["sinks of another width", { sinks: { k: zeros(1, 1, 3), v: zeros(1, 1, 1) } }, /sinks \[1, 1, 3\].*do not fit/],
  ["sinks of other heads", { sinks: { k: zeros(2, 1, 2), v: zeros(2, 1, 1) } }, /sinks .* do not fit/],
  ["uniform numbers of another shape", { dropout: { p: 0.5, uniform: zeros(1, 1, 3, 4) } }, /uniform.*\[1, 1, 3, 3\]/],
  ["queries beyond the keys", { first: 1 }, /queries 1 \.\. 3 do not lie among 3/],
  ["windows in which there is nothing", { window: 0 }, /window of 0 positions/],
  ["windows that end within a position", { window: 1.5 }, /window of 1.5 positions/],
  ["probabilities above 1", { dropout: { p: 1.5, uniform: zeros(1, 1, 3, 3) } }, /probability 1.5/],
  ["probabilities below 0", { dropout: { p: -0.5, uniform: zeros(1, 1, 3, 3) } }, /probability -0.5/],
  ["scales that are no number", { scale: Number.NaN }, /scale of scores is NaN/],
  ["sinks of an open number", { sinks: { k: input("k0", [1, sym("N"), 2]), v: zeros(1, 1, 1) } }, /sinks is N/],
])("%s are refused", (_, options, message) => {
  const q = input("q", [1, 1, 3, 2]);
  expect(() => attention(q, q, input("v", [1, 1, 3, 1]), options)).toThrow(message);
});

test("queries that would see nothing are refused, and heads whose types or numbers do not fit", () => {
  const [q, k, v] = [input("q", [1, 1, 4, 2]), input("k", [1, 1, 3, 2]), input("v", [1, 1, 3, 1])];
  expect(() => attention(q, k, v)).toThrow(/queries -1 \.\. 2 do not lie among 3/);
  expect(() => attention(q, k, v, { causal: false, window: 2 })).toThrow(/do not lie among 3/);
  expect(attention(q, k, v, { causal: false }).shape).toEqual([1, 1, 4, 1]);
  const open = input("open", [1, 1, 3, sym("D")]);
  expect(() => attention(open, open, v)).toThrow(/scale of scores is NaN/);
  expect(attention(open, open, v, { scale: 1 }).shape).toEqual([1, 1, 3, 1]);
  expect(() => attention(k, input("half", [1, 1, 3, 2], "float16"), v)).toThrow(/float32, float16 and float32/);
  const [pastK, pastV] = [input("pastK", [5, 1, 2]), input("pastV", [5, 1, 1])];
  expect(() => cachedAttention(q, k, v, pastK, pastV)).toThrow(/4 queries with 3 new keys/);
});

test("no sinks and no dropout are the same as none given", () => {
  const [q, v] = [input("q", [1, 1, 3, 2]), input("v", [1, 1, 3, 1])];
  const none = { k: zeros(1, 0, 2), v: zeros(1, 0, 1) };
  const dropout = { p: 0, uniform: zeros(1, 1, 3, 3) };
  expect(attention(q, q, v, { sinks: none, dropout })).toBe(attention(q, q, v));
});
