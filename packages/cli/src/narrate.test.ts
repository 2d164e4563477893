import type { ExperimentEvent } from "@caramba/experiment";
import type { Display, Work } from "@caramba/instrumentation";
import { describe, expect, it } from "vitest";
import { compact, duration, narrate } from "./narrate.ts";

class Recorder implements Display {
  readonly lines: string[] = [];
  work: Work | null = null;
  line(text: string): void {
    this.lines.push(text);
  }
  live(work: Work): void {
    this.work = work;
  }
  idle(): void {
    this.work = null;
  }
}

const step = (
  n: number,
  more: Partial<Extract<ExperimentEvent, { type: "train" }>["event"]> = {},
): ExperimentEvent => ({
  type: "train",
  target: "t",
  event: {
    runId: "base",
    phase: "standard",
    step: n,
    totalSteps: 100,
    loss: 2,
    lr: 0.1,
    tokensPerSecond: 2000,
    gradNorm: null,
    valLoss: null,
    blockIndex: null,
    metrics: {},
    ...more,
  },
});

function scene(): { recorder: Recorder; at: (ms: number, event: ExperimentEvent) => void } {
  const recorder = new Recorder();
  let clock = 0;
  const tell = narrate(recorder, () => clock);
  return {
    recorder,
    at: (ms, event) => {
      clock = ms;
      tell(event);
    },
  };
}

describe("training", () => {
  it("shows phase, step, loss, speed and, once it can be known, the time left", () => {
    const { recorder, at } = scene();
    at(0, step(1));
    expect(recorder.work).toEqual({
      label: "base standard",
      done: 1,
      total: 100,
      facts: ["loss 2.0000", "2.0k tok/s"],
    });
    at(1000, step(2));
    // 98 steps of one second each.
    expect(recorder.work?.facts[2]).toBe("1:38 left");
  });
  it("goes by the last half minute: an early pause is forgotten", () => {
    const { recorder, at } = scene();
    at(0, step(1));
    for (let n = 2; n <= 50; n++) at(600_000 + n * 1000, step(n));
    expect(recorder.work?.facts[2]).toBe("50 s left");
  });
  it("steadies the speed and names the layer of a blockwise run", () => {
    const { recorder, at } = scene();
    for (let n = 1; n <= 30; n++)
      at(n, step(n, { tokensPerSecond: n % 2 ? 1000 : 3000, blockIndex: 1, phase: "blockwise" }));
    expect(recorder.work?.label).toBe("base blockwise layer 2");
    // Half the steps at 1 ms a token, half at a third of it: 1500 tokens per second, give or take the last step.
    expect(recorder.work?.facts[1]).toMatch(/^1\.[4567]k tok\/s$/);
  });
  it("leaves a line for every validation and one at the end", () => {
    const { recorder, at } = scene();
    at(0, step(50, { valLoss: Math.log(20) }));
    at(1, step(100, { loss: 1.5 }));
    expect(recorder.lines).toEqual([
      "  base 50/100: validation loss 2.9957, perplexity 20.00",
      "  base: 100 steps, loss 1.5000",
    ]);
    expect(recorder.work).toBeNull();
  });
});

it("leaves a line for stages and notes, and shows how far benchmarks are", () => {
  const { recorder, at } = scene();
  at(0, { type: "stage", stage: "benchmark", target: "dba", detail: "speed" });
  at(0, { type: "note", message: "base: resumed from step 5" });
  at(0, { type: "progress", stage: "benchmark", target: "dba", detail: "speed", done: 1, total: 4 });
  at(2000, { type: "progress", stage: "benchmark", target: "dba", detail: "speed", done: 2, total: 4 });
  expect(recorder.lines).toEqual(["[dba] benchmark speed", "  base: resumed from step 5"]);
  expect(recorder.work).toMatchObject({ label: "benchmark speed", done: 2, total: 4, facts: ["4 s left"] });
});

it("shows a download in megabytes, with its speed and the time left", () => {
  const { recorder, at } = scene();
  const part = {
    type: "download",
    target: "dba",
    model: "org/name@v1",
    file: "model.safetensors",
    total: 2.5e9,
  } as const;
  at(0, { ...part, done: 0, bytesPerSecond: 0 });
  at(10_000, { ...part, done: 5e8, bytesPerSecond: 5.04e7 });
  expect(recorder.work).toEqual({
    label: "download org/name@v1, MB",
    done: 500,
    total: 2500,
    facts: ["50.4 MB/s", "40 s left", "model.safetensors"],
  });
  at(50_000, { ...part, done: 2.5e9, bytesPerSecond: 5e7 });
  expect(recorder.work).toBeNull();
});

it("writes numbers short", () => {
  expect([7, 999, 1000, 9449, 12_345].map(compact)).toEqual(["7", "999", "1.0k", "9.4k", "12k"]);
  expect([0, 59.4, 60, 187, 7387].map(duration)).toEqual(["0 s", "59 s", "1:00", "3:07", "2:03:07"]);
});
