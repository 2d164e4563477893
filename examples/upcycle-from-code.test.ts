import { rmSync } from "node:fs";
import { expect, it } from "vitest";
import { writeTestText } from "./test-text.ts";
import { upcycleFromCode } from "./upcycle-from-code.ts";

it("surgery, distillation and fine-tuning bring the student to its teacher, with the smaller cache", async () => {
  const { folder, file } = writeTestText(60_000);
  const lines: string[] = [];
  const found = await upcycleFromCode({ inputs: [file], print: (line) => lines.push(line) });
  rmSync(folder, { recursive: true });
  // 2 key-value heads of 16 + 16 numbers; of 2 + 4 + 8.
  expect(found.cacheRatio).toBe((2 + 4 + 8) / (16 + 16));
  // The teacher has learned: a guess among 256 bytes has 256, one by the frequency of letters about 20.
  expect(found.teacherPerplexity).toBeLessThan(5);
  // Each phase closes most of what the one before left open.
  expect(Math.log(found.surgery)).toBeLessThan(Math.log(found.random) / 2);
  expect(Math.log(found.blockwise)).toBeLessThan(Math.log(found.surgery) / 2);
  expect(Math.log(found.global)).toBeLessThan(Math.log(found.blockwise) / 2);
  expect(found.global).toBeLessThan(1.1);
  const [low, high] = found.interval;
  expect(low).toBeLessThan(found.global);
  expect(high).toBeGreaterThan(found.global);
  expect(lines.filter((line) => line.includes("x teacher"))).toHaveLength(4);
}, 120_000);
