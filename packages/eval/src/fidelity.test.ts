import { ReferenceBackend } from "@caramba/tensor";
import { expect, test } from "vitest";
import { bigramModel } from "../test-support/models.ts";
import { fidelity } from "./fidelity.ts";
import { WindowScorer } from "./window-scorer.ts";

const backend = new ReferenceBackend();
const SIZE = 6;
const uniform = () => bigramModel(Array.from({ length: SIZE }, () => new Array<number>(SIZE).fill(0)));
/** Gives the next id (cyclic) probability `p`, the others the rest in equal parts. */
const counting = (p: number) =>
  bigramModel(
    Array.from({ length: SIZE }, (_, row) =>
      Array.from({ length: SIZE }, (_, column) => Math.log(column === (row + 1) % SIZE ? p : (1 - p) / (SIZE - 1))),
    ),
  );
const blockSize = 4;
// Two windows that count, one that stays at one id.
const tokens = Int32Array.of(0, 1, 2, 3, 2, 3, 4, 5, 1, 1, 1, 1);
const targets = Int32Array.of(1, 2, 3, 4, 3, 4, 5, 0, 1, 1, 1, 1);
const windows = { tokens, targets, blockSize };
const open = { maxDeltaNll: null, maxPplRatio: null, failFast: false };

test("delta is student minus teacher, ratio its exponential", async () => {
  const p = 0.7;
  const [right, wrong] = [-Math.log(p), -Math.log((1 - p) / (SIZE - 1))];
  const expected = (2 * right + wrong) / 3 - Math.log(SIZE);
  const result = await fidelity({
    teacher: await uniform(),
    student: await counting(p),
    backend,
    windows,
    config: open,
  });
  expect(result.metrics["teacher_nll"]).toBeCloseTo(Math.log(SIZE), 6);
  expect(result.metrics["delta_nll"]).toBeCloseTo(expected, 6);
  expect(result.metrics["ppl_ratio"]).toBeCloseTo(Math.exp(expected), 6);
  expect(result.metrics).toMatchObject({ windows: 3, tokens: 12 });
  expect(result.comparison?.ratio).toBeCloseTo(Math.exp(expected), 6);
  expect(result.comparison?.ciLow).toBeLessThan(Math.exp(expected));
  [right, right, wrong].forEach((loss, i) => {
    expect(result.studentSums[i]).toBeCloseTo(loss * blockSize, 4);
  });
  const back = await fidelity({ teacher: await counting(p), student: await uniform(), backend, windows, config: open });
  expect(back.metrics["delta_nll"]).toBeCloseTo(-expected, 6);
});

test("the batch size changes nothing", async () => {
  const [teacher, student] = [await uniform(), await counting(0.5)];
  const run = (batchSize: number) => fidelity({ teacher, student, backend, windows, batchSize, config: open });
  expect((await run(2)).metrics).toEqual((await run(3)).metrics);
});

test("thresholds: a better student passes, a worse one is reported or ends the run", async () => {
  const [plain, better] = [await uniform(), await counting(0.4)];
  const counted = { tokens: tokens.slice(0, 8), targets: targets.slice(0, 8), blockSize };
  const limits = { maxDeltaNll: 0, maxPplRatio: 1, failFast: false };
  const run = (teacher: typeof plain, student: typeof plain, failFast = false) =>
    fidelity({ teacher, student, backend, windows: counted, config: { ...limits, failFast } });
  expect((await run(plain, better)).passed).toBe(true);
  const worse = await run(better, plain);
  expect(worse.passed).toBe(false);
  expect(worse.violations).toHaveLength(2);
  await expect(run(better, plain, true)).rejects.toMatchObject({ code: "verify-failed" });
});

test("one window has a ratio but no interval", async () => {
  const one = { tokens: tokens.slice(0, 4), targets: targets.slice(0, 4), blockSize };
  const result = await fidelity({
    teacher: await uniform(),
    student: await uniform(),
    backend,
    windows: one,
    config: open,
  });
  expect(result.comparison).toBeNull();
  expect(result.metrics).toMatchObject({ ppl_ratio: 1, ppl_ratio_ci_low: null });
});

test("weights that are no numbers are an error, not a ratio", async () => {
  const broken = await bigramModel(Array.from({ length: SIZE }, () => new Array<number>(SIZE).fill(Number.NaN)));
  await expect(
    fidelity({ teacher: await uniform(), student: broken, backend, windows, config: open }),
  ).rejects.toMatchObject({ code: "nan", message: "the student's loss is NaN" });
});

test("padded ids get no probability", async () => {
  const scorer = await WindowScorer.open(await uniform(), { backend, batchSize: 1, blockSize: 4, validVocabSize: 3 });
  const [sum] = await scorer.scoreWindows(Int32Array.of(0, 1, 2, 0), Int32Array.of(1, 2, 0, 1));
  expect(sum).toBeCloseTo(4 * Math.log(3), 5);
});
