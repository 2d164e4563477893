import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { upcycleFromCode } from "./upcycle-from-code.ts";

const sources = fileURLToPath(new URL("../packages/config/src/", import.meta.url));
const inputs = readdirSync(sources).flatMap((name) => (name.endsWith(".ts") ? [join(sources, name)] : []));

it("each phase brings the student closer to its teacher, with the smaller cache", async () => {
  const lines: string[] = [];
  const found = await upcycleFromCode({ inputs, steps: 160, print: (line) => lines.push(line) });
  // 2 key-value heads of 16 + 16 numbers; of 4 + 4 + 12.
  expect(found.cacheRatio).toBe((4 + 4 + 12) / (16 + 16));
  expect(found.teacherPerplexity).toBeLessThan(64);
  expect(found.surgery).toBeLessThan(found.random);
  expect(found.blockwise).toBeLessThan(found.surgery);
  expect(found.global).toBeLessThan(found.blockwise);
  expect(found.global).toBeLessThan(1.1);
  const [low, high] = found.interval;
  expect(low).toBeLessThan(found.global);
  expect(high).toBeGreaterThan(found.global);
  expect(lines.filter((line) => line.includes("x teacher"))).toHaveLength(4);
}, 120_000);
