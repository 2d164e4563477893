import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openTokens } from "@caramba/data";
import { afterEach, beforeEach, expect, it } from "vitest";
import { writeTestText } from "./test-text.ts";
import { trainFromCode } from "./train-from-code.ts";

let folder: string;
let file: string;
beforeEach(() => {
  ({ folder, file } = writeTestText(60_000));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Entropy of the held-out tokens' frequencies, nats. */
function entropy(path: string): number {
  const source = openTokens(path);
  const tokens = source.read(Math.ceil(source.length * 0.9), source.length);
  source.close();
  const counts = new Map<number, number>();
  for (const id of tokens) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [...counts.values()].reduce((sum, n) => sum - (n / tokens.length) * Math.log(n / tokens.length), 0);
}

it("learns from text, and a second run finds the first one's checkpoint", async () => {
  const lines: string[] = [];
  const run = () => trainFromCode({ folder, inputs: [file], steps: 120, print: (line) => lines.push(line) });
  const first = await run();
  expect(first.status).toBe("finished");
  expect(first.losses).toHaveLength(120);
  // It begins as a uniform guess over 512 ids. On text it has not seen it ends a nat better than the best guess that
  // knows how often each token occurs there but not what came before it.
  expect(first.losses[0]).toBeCloseTo(Math.log(512), 0);
  expect(first.heldOutLoss).toBeLessThan(entropy(join(folder, "tokens.npy")) - 1);
  expect(first.text.startsWith("export interface ")).toBe(true);
  expect(first.text.length).toBeGreaterThan("export interface ".length);
  expect(readdirSync(join(folder, "checkpoints"))).toContain("example_standard_final.safetensors");

  const second = await run();
  expect(second.status).toBe("skipped");
  expect(second.losses).toEqual([]);
  expect(second.heldOutLoss).toBe(first.heldOutLoss);
  expect(second.text).toBe(first.text);
}, 120_000);
