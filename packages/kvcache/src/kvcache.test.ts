// Caches against a plain list of rows: growth, views, truncation, and errors that change nothing.
import { type DeviceBuffer, f32ToF16, ReferenceBackend } from "@caramba/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CacheBuffer } from "./cache-buffer.ts";
import { ModelCache } from "./model-cache.ts";

const backend = new ReferenceBackend();
const [heads, width] = [2, 3];
const rows = (values: readonly number[], shape = [heads, width]): DeviceBuffer => {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from(values.flatMap((v) => Array.from({ length: size }, (_, i) => v + i / 8)));
  return backend.upload(data, [values.length, ...shape], "float32");
};
const make = (maxLength: number, capacity?: number) =>
  new CacheBuffer({
    backend,
    heads,
    width,
    dtype: "float32",
    maxLength,
    ...(capacity === undefined ? {} : { capacity }),
  });

/** First number of every row in the view. */
async function stored(cache: CacheBuffer): Promise<number[]> {
  const view = cache.view();
  expect(view.shape).toEqual([cache.length, heads, width]);
  const data = (await backend.read(view)) as Float32Array;
  data.forEach((v, i) => {
    expect(v - (i % (heads * width)) / 8).toBe(data[i - (i % (heads * width))]);
  });
  return Array.from({ length: cache.length }, (_, i) => data[i * heads * width] as number);
}

describe("CacheBuffer", () => {
  it("behaves like a list of rows with a limit", async () => {
    const step = fc.oneof(
      fc.record({ append: fc.integer({ min: 0, max: 9 }) }),
      fc.record({ truncate: fc.integer({ min: -1, max: 40 }) }),
      fc.record({ reserve: fc.integer({ min: 0, max: 40 }) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 25 }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 8 }),
        async (steps, maxLength, capacity) => {
          const cache = make(maxLength, capacity);
          let list: number[] = [];
          let next = 0;
          for (const step of steps) {
            const before = cache.capacity;
            if ("append" in step) {
              const values = Array.from({ length: step.append }, () => next++);
              if (list.length + values.length > maxLength) expect(() => cache.append(rows(values))).toThrow(/at most/);
              else {
                expect(cache.append(rows(values))).toBe(list.length);
                list = [...list, ...values];
              }
            } else if ("truncate" in step) {
              if (step.truncate < 0 || step.truncate > list.length)
                expect(() => cache.truncate(step.truncate)).toThrow(/cannot truncate/);
              else {
                cache.truncate(step.truncate);
                list = list.slice(0, step.truncate);
              }
            } else if (step.reserve > maxLength) expect(() => cache.reserve(step.reserve)).toThrow(/at most/);
            else cache.reserve(step.reserve);
            expect(cache.length).toBe(list.length);
            expect(await stored(cache)).toEqual(list);
            expect(cache.capacity).toBeGreaterThanOrEqual(before);
            expect(cache.capacity).toBeLessThanOrEqual(maxLength);
            expect(cache.bytes).toBe(cache.capacity * heads * width * 4);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it("doubles up to its limit", () => {
    const cache = make(20, 3);
    const capacities = Array.from({ length: 20 }, (_, i) => {
      cache.append(rows([i]));
      return cache.capacity;
    });
    expect(capacities).toEqual([3, 3, 3, 6, 6, 6, ...new Array<number>(6).fill(12), ...new Array<number>(8).fill(20)]);
    expect(make(1000).capacity).toBe(64);
    expect(make(10).capacity).toBe(10);
  });

  it("says what does not fit, and stays as it was", async () => {
    const cache = make(4, 2);
    cache.append(rows([7, 8, 9]));
    const refuses = (run: () => void, code: string, message: RegExp) => {
      expect(run).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }) as Error);
    };
    refuses(() => cache.append(rows([1, 2])), "cache-overflow", /at most 4 positions, 5 are needed/);
    refuses(() => cache.append(rows([1], [heads, 4])), "shape", /float32\[n, 2, 3\], given float32\[1, 2, 4\]/);
    refuses(() => cache.append(backend.upload(new Uint16Array(6), [1, 2, 3], "float16")), "shape", /given float16/);
    refuses(() => cache.append(backend.upload(new Float32Array(6), [6], "float32")), "shape", /given float32\[6\]/);
    refuses(() => cache.truncate(1.5), "cache", /cannot truncate/);
    expect(await stored(cache)).toEqual([7, 8, 9]);
  });
});

describe("ModelCache", () => {
  const layers = [
    [
      { name: "k", heads: 2, width: 3 },
      { name: "v", heads: 2, width: 5 },
    ],
    [{ name: "k", heads: 1, width: 4 }],
  ];
  const filled = (heads: number, width: number, count: number) =>
    rows(new Array<number>(count).fill(1), [heads, width]);
  const fresh = (count: number, batch = 1) => [
    [filled(2 * batch, 3, count), filled(2 * batch, 5, count)],
    [filled(batch, 4, count)],
  ];

  it.each([
    ["fp32", 4],
    ["fp16", 2],
  ] as const)("allocates %s bytes for every row of the batch", (storage, bytes) => {
    const cache = new ModelCache(layers, { backend, batchSize: 3, maxLength: 50, storage, capacity: 10 });
    expect(cache.bytes).toBe(10 * 3 * (2 * 3 + 2 * 5 + 4) * bytes);
    cache.reserve(11);
    expect(cache.bytes).toBe(20 * 3 * (2 * 3 + 2 * 5 + 4) * bytes);
  });

  it("keeps all parts at one length", () => {
    const cache = new ModelCache(layers, { backend, batchSize: 2, maxLength: 8, storage: "fp32" });
    const lengths = () => cache.layers.flatMap((parts) => [...parts.values()].map((part) => part.length));
    cache.append(fresh(3, 2));
    cache.append(fresh(2, 2));
    expect([0, 4, 5, 9].map((length) => cache.keptLength(length))).toEqual([0, 4, 5, 5]);
    cache.truncate(4);
    expect(lengths()).toEqual([4, 4, 4]);
    for (const length of [5, -1, 1.5]) expect(() => cache.truncate(length)).toThrow(/cannot truncate/);
    expect(() => cache.append(fresh(5, 2))).toThrow(/at most 8/);
    expect(() => cache.append([fresh(1, 2)[0] ?? []])).toThrow(/2 layers/);
    // The last part is wrong: the earlier ones must not have grown.
    expect(() => cache.append([fresh(1, 2)[0] ?? [], [filled(2, 5, 1)]])).toThrow(/given/);
    expect(() => cache.append([fresh(1, 2)[0] ?? [], [filled(2, 4, 2)]])).toThrow(/differ/);
    expect(lengths()).toEqual([4, 4, 4]);
    expect(cache.length).toBe(4);
  });

  describe("with states of recurrent layers", () => {
    const states = [
      [
        { name: "h", shape: [3] },
        { name: "c", shape: [2, 2] },
      ],
      [{ name: "h", shape: [1] }],
    ];
    const make = (parts = layers) =>
      new ModelCache(parts, { backend, batchSize: 2, maxLength: 8, storage: "fp16", states, capacity: 8 });
    const none: typeof layers = [];
    const filledStates = (value: number) =>
      states.map((parts) =>
        parts.map(({ shape }) => {
          const size = 2 * shape.reduce((a, b) => a * b, 1);
          return backend.upload(new Float32Array(size).fill(value), [2, ...shape], "float32");
        }),
      );
    const values = async (cache: ModelCache) =>
      Promise.all(cache.states.map(async (state) => (await backend.read(state.view()[0] as DeviceBuffer))[0]));

    it("counts both copies in float32, beside the rows", () => {
      expect(make(none).bytes).toBe(2 * 2 * (3 + 4 + 1) * 4);
      expect(make().bytes).toBe(2 * 2 * (3 + 4 + 1) * 4 + 8 * 2 * (2 * 3 + 2 * 5 + 4) * 2);
      const cache = make(none);
      cache.append([], filledStates(1), 3);
      expect(cache.bytes).toBe(2 * 2 * (3 + 4 + 1) * 4);
    });

    it("goes back to where it was before the last append, and to the start, but nowhere between", async () => {
      const cache = make(none);
      cache.append([], filledStates(1), 3);
      cache.append([], filledStates(2), 2);
      expect([cache.length, cache.keptLength(5), cache.keptLength(4), cache.keptLength(2)]).toEqual([5, 5, 3, 0]);
      expect(() => cache.truncate(4)).toThrow(/position 4 are not kept/);
      cache.truncate(5);
      expect(await values(cache)).toEqual([2, 2]);
      cache.truncate(3);
      expect(await values(cache)).toEqual([1, 1]);
      expect(cache.keptLength(2)).toBe(0);
      // What a step writes takes the place of what was undone.
      cache.append([], filledStates(3), 1);
      expect([cache.length, await values(cache)]).toEqual([4, [3, 3]]);
      cache.truncate(3);
      expect(await values(cache)).toEqual([1, 1]);
      cache.truncate(0);
      expect(cache.length).toBe(0);
    });

    it("behaves like a list of states of which the last two are kept", async () => {
      const position = fc.integer({ min: 0, max: 9 });
      const step = fc.oneof(
        fc.record({ append: fc.integer({ min: 0, max: 3 }), lent: fc.boolean() }),
        fc.record({ truncate: position }),
        fc.record({ ask: position }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
          const cache = make(none);
          // Where the cache is, and where else it could go back to: positions with the number of the state there.
          let now = { at: 0, state: 0 };
          let other: typeof now | undefined;
          let next = 1;
          for (const step of steps) {
            if ("append" in step) {
              const to = now.at + step.append;
              if (to > 8) {
                expect(() => cache.append([], filledStates(0), step.append)).toThrow(/at most 8/);
                continue;
              }
              const made = filledStates(next);
              if (step.lent) {
                const lent = cache.spareStates();
                lent.flat().forEach((buffer, i) => {
                  backend.writeRows(buffer, 0, made.flat()[i] as DeviceBuffer);
                });
                cache.append([], lent, step.append);
              } else cache.append([], made, step.append);
              other = now;
              now = { at: to, state: next++ };
            } else {
              const asked = "ask" in step ? step.ask : step.truncate;
              const known = [0, now.at, ...(other ? [other.at] : [])];
              expect(cache.keptLength(asked)).toBe(Math.max(...known.filter((at) => at <= asked)));
              if ("truncate" in step) {
                if (asked > now.at || !known.includes(asked))
                  expect(() => cache.truncate(asked)).toThrow(/truncate|kept/);
                else {
                  cache.truncate(asked);
                  if (asked < now.at) [now, other] = [other?.at === asked ? other : { at: 0, state: 0 }, undefined];
                }
              }
            }
            expect(cache.length).toBe(now.at);
            if (now.at > 0) expect(await values(cache)).toEqual([now.state, now.state]);
          }
        }),
        { numRuns: 100 },
      );
    });

    it("takes lent buffers in any order, and frees each of them once", async () => {
      const freed: DeviceBuffer[] = [];
      class Counting extends ReferenceBackend {
        override dispose(buffer?: DeviceBuffer): void {
          freed.push(buffer as DeviceBuffer);
        }
      }
      const pair = [["a", "b"].map((name) => ({ name, shape: [2] }))];
      const cache = new ModelCache([], {
        backend: new Counting(),
        batchSize: 1,
        maxLength: 8,
        storage: "fp32",
        states: pair,
      });
      const [a, b] = cache.spareStates()[0] as [DeviceBuffer, DeviceBuffer];
      const read = [...(cache.states[0]?.view() ?? [])];
      expect(() => cache.append([], [[a, a]], 1)).toThrow(/two parts are in one/);
      cache.append([], [[b, a]], 1);
      expect([cache.states[0]?.view(), freed]).toEqual([[b, a], []]);
      const own = [0, 1].map(() => backend.alloc([1, 2], "float32"));
      cache.append([], [own], 1);
      expect(freed).toEqual(read);
      cache.dispose();
      expect(new Set(freed)).toEqual(new Set([...read, a, b, ...own]));
      expect(freed).toHaveLength(6);
    });

    it("lends the copy that is not read, and then knows one state only", async () => {
      const cache = make(none);
      cache.append([], filledStates(1), 3);
      const spare = cache.spareStates();
      expect([cache.keptLength(3), cache.keptLength(2)]).toEqual([3, 0]);
      expect(await values(cache)).toEqual([1, 1]);
      cache.append([], spare, 1);
      expect(cache.states.map((state) => state.view())).toEqual(spare);
      expect(cache.keptLength(3)).toBe(3);
    });

    it("refuses states that are not its own, more positions than fit, and counts that differ, and stays as it was", async () => {
      const cache = make(none);
      cache.append([], filledStates(1), 7);
      expect(() => cache.append([], filledStates(2), 2)).toThrow(/at most 8 positions, 9/);
      expect(() => cache.append([], filledStates(2).slice(1), 1)).toThrow(/states of 2 layers, given 1/);
      expect(() => cache.append([], [...filledStates(2)].reverse(), 1)).toThrow(/a layer's state is/);
      expect(() => cache.append([], filledStates(2))).toThrow(/said to be unknown/);
      for (const count of [-1, 0.5]) expect(() => cache.append([], filledStates(2), count)).toThrow(/new positions/);
      const reads = cache.states.map((state) => state.view());
      expect(() => cache.append([], reads, 1)).toThrow(/in a buffer that is read/);
      expect(() => cache.reserve(9)).toThrow(/at most 8/);
      expect([cache.length, await values(cache)]).toEqual([7, [1, 1]]);
      const both = make();
      expect(() => both.append(fresh(2, 2), filledStates(1), 3)).toThrow(/2 new rows, said to be 3/);
      both.append(
        fresh(2, 2).map((parts) => parts.map(({ shape }) => backend.alloc([...shape], "float16"))),
        filledStates(1),
      );
      expect(both.length).toBe(2);
    });
  });

  it("stores what it is given in half precision", async () => {
    const cache = new ModelCache([[{ name: "k", heads: 1, width: 2 }]], {
      backend,
      batchSize: 1,
      maxLength: 4,
      storage: "fp16",
    });
    const bits = f32ToF16(Float32Array.of(0.1, -2));
    cache.append([[backend.upload(bits, [1, 1, 2], "float16")]]);
    const view = cache.layers[0]?.get("k")?.view() as DeviceBuffer;
    expect(await backend.read(view)).toEqual(bits);
  });
});
