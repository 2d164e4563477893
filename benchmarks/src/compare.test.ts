// Interleaving, statistics and failures, with subjects of a few lines whose times are known.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type Case, cases } from "./cases.ts";
import { compareOn, fastest, type Subject } from "./compare.ts";
import { median, pairedRatio } from "./statistics.ts";
import { table } from "./table.ts";

const folder = mkdtempSync(join(tmpdir(), "caramba-compare-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const script = join(folder, "fake.mjs");
writeFileSync(
  script,
  `import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
const [name, ms, log] = process.argv.slice(2);
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  if (name === "broken" && request.op === "setup") answer = { error: "no such case" };
  else if (name === "dying" && request.op === "setup") { console.error("out of luck"); process.exit(3); }
  else if (request.op === "setup") answer = { setupMs: 1, firstMs: 1, check: [1, 2] };
  else if (request.op === "run") {
    appendFileSync(log, name + " ");
    answer = { ms: Array(request.n).fill(Number(ms)), check: [3] };
  } else answer = { peakMb: 100, baseMb: 40 };
  console.log(JSON.stringify(answer));
}`,
);

const log = join(folder, "log");
const subject = (name: string, ms: number): Subject => ({
  name,
  label: name,
  launch: { file: process.execPath, args: [script, name, String(ms), log] },
  settings: { threads: 1 },
});
const c = cases[0] as Case;

test("subjects take turns in rotating order and run equally often", async () => {
  writeFileSync(log, "");
  const failures: string[] = [];
  const figures = await compareOn(
    c,
    [subject("a", 50), subject("broken", 1), subject("dying", 1), subject("b", 100)],
    { rounds: 2, roundMs: 300 },
    (who, error) => failures.push(`${who.name}: ${error.message}`),
  );
  // Warm-up of each, then a b, then b a.
  expect(readFileSync(log, "utf8").trim()).toBe("a b a b b a");
  expect(failures).toHaveLength(2);
  expect(failures[0]).toBe("broken: no such case");
  expect(failures[1]).toMatch(/^dying: .*ended \(3\): out of luck/);
  expect(figures.map((f) => f.name)).toEqual(["a", "b"]);
  // The slowest takes 100 ms, so that a round of 300 ms has three runs.
  expect(figures[0]?.rounds).toEqual([
    [50, 50, 50],
    [50, 50, 50],
  ]);
  expect(figures[0]?.tokensPerSecond).toBeCloseTo((c.batch * c.length) / 0.05, 6);
  expect(figures[1]?.stats).toEqual({ peakMb: 100, baseMb: 40 });
});

test("the fastest variant that works is chosen", async () => {
  const tried: string[] = [];
  const best = await fastest(c, [subject("broken", 1), subject("a", 9), subject("b", 7)], (variant, result) =>
    tried.push(`${variant.label} ${result instanceof Error ? "failed" : result}`),
  );
  expect(best?.label).toBe("b");
  expect(tried).toEqual(["broken failed", "a 9", "b 7"]);
});

test("medians and ratios of rounds", () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
  const ratio = pairedRatio([[2, 2, 9], [6], [4]], [[1], [2], [8]]);
  expect(ratio.median).toBe(2);
  expect(ratio.range).toEqual([0.5, 3]);
});

test("tables align", () => {
  expect(
    table([
      ["a", "bb"],
      ["long", "1"],
    ]),
  ).toBe("a     bb\n----  --\nlong   1");
});
