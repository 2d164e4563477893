// The detectors on made-up losses, against numbers by hand and a second, direct computation over the whole history.
import { trainConfig } from "@caramba/config";
import { Philox } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import {
  type AutotuneEvent,
  type AutotuneState,
  autotuneMetrics,
  beginBlock,
  lowered,
  observeLoss,
  readAutotune,
} from "./autotune.ts";

const settings = (rest: object) =>
  trainConfig({
    phase: "blockwise",
    batchSize: 1,
    blockSize: 8,
    lr: 1e-3,
    blockwiseAutotuneEnabled: true,
    blockwiseAutotuneMode: "active",
    ...rest,
  });

function follow(losses: readonly number[], rest: object): { events: (AutotuneEvent | null)[]; state: AutotuneState } {
  const config = settings(rest);
  let state = beginBlock(null, config);
  const events = losses.map((loss) => {
    const next = observeLoss(state, loss, config);
    state = next.state;
    return next.event;
  });
  return { events, state };
}

describe("observeLoss", () => {
  const noisy = (n: number) => Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : 2));

  it("calls a loss a spike that is k deviations above the mean, once the window is full", () => {
    // Window 1, 2, 1, 2: deviation 0.5. With decay 0 the mean is the last loss, 2: a spike begins above 2 + 3 * 0.5.
    const rest = { blockwiseAutotuneWindowSize: 4, blockwiseAutotuneEmaDecay: 0, blockwiseAutotuneSpikeStd: 3 };
    const after = (loss: number, before = 4) => follow([...noisy(before), loss], rest).events.at(-1);
    expect(after(3.5)).toBeNull();
    expect(after(3.51)).toBe("spike");
    expect(after(100, 3)).toBeNull();
  });

  it("calls it a plateau when the mean has made no new low for so many steps", () => {
    const rest = { blockwiseAutotuneEmaDecay: 0.5, blockwiseAutotunePlateauPatience: 3 };
    // 4, then 2, then three steps of no progress, and three more.
    const { events } = follow([4, 0, 2, 2, 2, 2, 2, 2], rest);
    expect(events).toEqual([null, null, null, null, "plateau", null, null, "plateau"]);
  });

  it("lowers the rate by the factor down to the lowest, and never raises it", () => {
    const rest = { blockwiseAutotunePlateauPatience: 1, blockwiseAutotuneLrDecay: 0.5, blockwiseAutotuneMinLr: 2e-4 };
    expect([1, 2, 3, 4, 5].map((n) => follow(Array(n).fill(1), rest).state.rate)).toEqual([
      1e-3, 5e-4, 2.5e-4, 2e-4, 2e-4,
    ]);
    expect(lowered(1e-3, settings({ blockwiseAutotuneMinLr: 1e-2 }))).toBe(1e-3);
    expect(follow(Array(5).fill(1), { ...rest, blockwiseAutotuneMode: "monitor" })).toMatchObject({
      events: [null, "plateau", "plateau", "plateau", "plateau"],
      state: { rate: 1e-3 },
    });
  });

  it("agrees with a computation over the whole history, through a checkpoint after every step", () => {
    const rest = {
      blockwiseAutotuneEmaDecay: 0.9,
      blockwiseAutotuneWindowSize: 8,
      blockwiseAutotuneSpikeStd: 2,
      blockwiseAutotunePlateauPatience: 15,
    };
    const config = settings(rest);
    const random = new Philox(5, 0);
    const losses = Array.from({ length: 400 }, (_, i) => 2 / (1 + i / 40) + 0.05 * random.normal() + (i % 61 ? 0 : 1));
    const { events } = follow(losses, rest);

    // Direct: every mean from the first loss on, every window cut out of the history.
    const emas: number[] = [];
    for (const [i, loss] of losses.entries()) emas.push(i === 0 ? loss : 0.9 * (emas[i - 1] as number) + 0.1 * loss);
    const expected: (AutotuneEvent | null)[] = [];
    let start = 0;
    for (const [i, loss] of losses.entries()) {
      const window = losses.slice(Math.max(start, i - 8), i);
      const mean = window.reduce((a, b) => a + b, 0) / window.length;
      const sigma = Math.sqrt(window.reduce((a, b) => a + b * b, 0) / window.length - mean * mean);
      const spike = window.length === 8 && loss > (emas[i - 1] as number) + 2 * sigma;
      // The step of an event is the first of the next stretch.
      const stretch = emas.slice(Math.max(0, start - 1), i + 1);
      const plateau = stretch.length - 1 - stretch.indexOf(Math.min(...stretch)) >= 15;
      expected.push(spike ? "spike" : plateau ? "plateau" : null);
      if (spike || plateau) start = i + 1;
    }
    expect(events).toEqual(expected);
    expect(new Set(events)).toEqual(new Set([null, "spike", "plateau"]));

    let state: AutotuneState | null = beginBlock(null, config);
    for (const [i, loss] of losses.entries()) {
      const next: ReturnType<typeof observeLoss> = observeLoss(state as AutotuneState, loss, config);
      expect(next.event).toBe(events[i]);
      state = readAutotune(JSON.parse(JSON.stringify(next.state)));
    }
  });
});

it("a new block forgets the losses, and keeps its rate or gets it back", () => {
  const { state } = follow([1, 1, 1], { blockwiseAutotunePlateauPatience: 1 });
  expect(state.rate).toBe(2.5e-4);
  const fresh = { seen: 0, ema: null, lowest: null, sinceLowest: 0, window: [] };
  expect(beginBlock(state, settings({}))).toEqual({ ...fresh, rate: 2.5e-4 });
  expect(beginBlock(state, settings({ blockwiseResetLrEachBlock: true }))).toEqual({ ...fresh, rate: 1e-3 });
});

it("reports every so many steps and at every event", () => {
  const { state } = follow([1, 3], { blockwiseAutotuneEmaDecay: 0.5 });
  const at = (every: number, event: AutotuneEvent | null) =>
    autotuneMetrics(state, event, settings({ blockwiseAutotuneLogEvery: every }));
  expect(at(2, null)).toEqual({ autotuneEma: 2, autotuneRate: 1e-3 });
  expect(at(3, null)).toEqual({});
  expect(at(3, "spike")).toEqual({ autotuneEma: 2, autotuneRate: 1e-3, autotuneSpike: 1 });
  expect(at(3, "plateau")).toEqual({ autotuneEma: 2, autotuneRate: 1e-3, autotunePlateau: 1 });
});

it("takes nothing from a checkpoint that is no state", () => {
  const good = beginBlock(null, settings({}));
  expect(readAutotune(good)).toEqual(good);
  for (const bad of [null, 3, {}, { ...good, window: ["1"] }, { ...good, ema: "x" }, { ...good, rate: null }])
    expect(readAutotune(bad)).toBeNull();
});
