import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrainEvent } from "@caramba/trainer";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TrainingLog } from "./training-log.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "caramba-log-"));
  path = join(folder, "deep", "train.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true }));

const event = (runId: string, step: number, loss = step): TrainEvent => ({
  runId,
  phase: "standard",
  step,
  totalSteps: 1000,
  loss,
  lr: 0.1,
  tokensPerSecond: 10.4,
  gradNorm: null,
  valLoss: null,
  blockIndex: null,
  metrics: {},
});
const steps = (log: TrainingLog) => log.read().map((s) => [s.run, s.step, s.loss]);

it("gives back every step of every run", () => {
  const log = new TrainingLog(path);
  for (let n = 1; n <= 25; n++) log.add(event("a", n));
  log.add(event("b", 1));
  expect(log.read()).toHaveLength(26);
  expect(log.read()[24]).toEqual({
    run: "a",
    phase: "standard",
    step: 25,
    loss: 25,
    lr: 0.1,
    tokPerSec: 10,
    valLoss: null,
  });
});

it("keeps what layers added to the loss", () => {
  const log = new TrainingLog(path);
  log.add({ ...event("a", 1), metrics: { ceLoss: 0.75, auxLoss: 0.25 } });
  log.add(event("a", 2));
  expect(log.read().map((step) => step.auxLoss)).toEqual([0.25, undefined]);
  log.add({ ...event("a", 3), metrics: { autotuneEma: 2, autotuneRate: 0.05, autotuneSpike: 1 } });
  expect(log.read()[2]).toMatchObject({ autotuneEma: 2, autotuneRate: 0.05, autotuneSpike: 1 });
});

it("counts from where a run was taken up again", () => {
  const first = new TrainingLog(path);
  for (let n = 1; n <= 5; n++) first.add(event("a", n));
  first.flush();
  const second = new TrainingLog(path);
  second.add(event("a", 4, 40));
  expect(steps(second)).toEqual([
    ["a", 1, 1],
    ["a", 2, 2],
    ["a", 3, 3],
    ["a", 4, 40],
  ]);
});

it("drops the curve of a run that starts anew, and keeps the others", () => {
  const log = new TrainingLog(path);
  for (const run of ["a", "b"]) for (let n = 1; n <= 3; n++) log.add(event(run, n));
  log.add(event("a", 1, 10));
  expect(steps(log)).toEqual([
    ["a", 1, 10],
    ["b", 1, 1],
    ["b", 2, 2],
    ["b", 3, 3],
  ]);
});

it("survives a line cut at any byte: no step but the cut one is lost", () => {
  const log = new TrainingLog(path);
  log.add(event("a", 1));
  log.flush();
  const whole = readFileSync(path, "utf8");
  for (const length of [1, 20, whole.length - 2, whole.length - 1]) {
    rmSync(path);
    appendFileSync(path, whole + whole.replace('"step":1', '"step":2').slice(0, length));
    const next = new TrainingLog(path);
    next.add(event("a", 3));
    const found = next.read().map((s) => s.step);
    expect(found).toEqual(length === whole.length - 1 ? [1, 2, 3] : [1, 3]);
  }
});

it("names the file when it cannot be written", () => {
  expect(() => new TrainingLog(join("/dev/null", "x", "train.jsonl"))).toThrow(/training log \/dev\/null/);
});

it("gives one whole curve however often a run was cut and taken up again", () => {
  const session = fc.record({
    back: fc.nat(10),
    steps: fc.integer({ min: 1, max: 30 }),
    run: fc.constantFrom("a", "b"),
  });
  fc.assert(
    fc.property(fc.array(session, { maxLength: 8 }), (sessions) => {
      rmSync(path, { force: true });
      const known: Record<string, number[]> = {};
      for (const [id, { back, steps: count, run }] of sessions.entries()) {
        const log = new TrainingLog(path);
        const curve = known[run] ?? [];
        known[run] = curve;
        curve.length = Math.max(0, curve.length - back);
        for (let n = 0; n < count; n++) {
          curve.push(id);
          log.add(event(run, curve.length, id));
        }
        log.flush();
      }
      const found: Record<string, number[]> = {};
      for (const { run, step, loss } of new TrainingLog(path).read()) {
        found[run] = [...(found[run] ?? []), loss ?? Number.NaN];
        expect(found[run]).toHaveLength(step);
      }
      expect(found).toEqual(known);
    }),
    { numRuns: 50 },
  );
});
