// Learning-rate factors by hand.
import fc from "fast-check";
import { expect, it } from "vitest";
import { learningRateFactor, type ScheduleOptions } from "./schedule.ts";

const base: ScheduleOptions = { scheduler: "linear", warmupSteps: 4, minLrRatio: 0.1, totalSteps: 14 };
const at = (steps: readonly number[], options: Partial<ScheduleOptions>) =>
  steps.map((step) => learningRateFactor(step, { ...base, ...options }));

const close = (found: readonly number[], expected: readonly number[]) => {
  found.forEach((v, i) => {
    expect(v).toBeCloseTo(expected[i] as number, 12);
  });
};

it("warms up over the first steps, whatever follows", () => {
  for (const scheduler of ["linear", "cosine", "constant"] as const)
    close(at([0, 1, 2, 3], { scheduler }), [0.25, 0.5, 0.75, 1]);
  expect(at([0, 3], { scheduler: "none" })).toEqual([1, 1]);
});

it("decays linearly to the floor", () => {
  close(at([4, 9, 13, 14, 99], {}), [1, 0.55, 0.19, 0.1, 0.1]);
});

it("decays along half a cosine to the floor", () => {
  const third = 0.1 + 0.9 * 0.5 * (1 + Math.cos(Math.PI * 0.3));
  close(at([4, 7, 9, 14], { scheduler: "cosine" }), [1, third, 0.55, 0.1]);
});

it("stays where it is told to", () => {
  close(at([4, 9, 100], { scheduler: "constant" }), [1, 1, 1]);
  close(at([0, 9, 100], { scheduler: "none", warmupSteps: 0 }), [1, 1, 1]);
});

it("clips the floor to 0 .. 1, and has no warm-up where there is none", () => {
  close(at([14], { minLrRatio: -1 }), [0]);
  close(at([5, 14], { minLrRatio: 3 }), [1, 1]);
  close(at([0, 14], { warmupSteps: 0 }), [1, 0.1]);
});

it("never leaves 0 .. 1, and never rises after warm-up", () => {
  const options = fc.record({
    scheduler: fc.constantFrom("linear", "cosine", "constant", "none"),
    warmupSteps: fc.nat(20),
    minLrRatio: fc.double({ min: 0, max: 1, noNaN: true }),
    totalSteps: fc.integer({ min: 1, max: 40 }),
  } as const);
  fc.assert(
    fc.property(options, (o) => {
      for (let step = 0; step < 50; step++) {
        const factor = learningRateFactor(step, o);
        expect(factor).toBeGreaterThanOrEqual(0);
        expect(factor).toBeLessThanOrEqual(1);
        if (step > o.warmupSteps) expect(factor).toBeLessThanOrEqual(learningRateFactor(step - 1, o) + 1e-12);
      }
    }),
  );
});
