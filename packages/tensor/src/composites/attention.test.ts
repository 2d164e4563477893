// What attention refuses, and closed forms of its masks: with equal scores a query gives its value heads the mean of what
// it sees. The value of key j is 2^j (sinks: negative powers), so that every set of keys has its own sum.
import { expect, test } from "vitest";
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
])("%s are refused", (_, options, message) => {
  const q = input("q", [1, 1, 3, 2]);
  expect(() => attention(q, q, input("v", [1, 1, 3, 1]), options)).toThrow(message);
});
