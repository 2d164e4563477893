// Room on the disk, by closed form: what a run keeps is counted in checkpoints of known size.
import { parseManifestOrThrow, presets } from "@caramba/config";
import { expect, it } from "vitest";
import { checkpointBytes } from "./dry-run.ts";

/** Width 128, 2 layers with 2 of 4 heads for keys and values, feed-forward 256, 257 ids. */
const weights = 4 * (2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 128 * 256) + 257 * 128 + 5 * 128);

it.each([
  ["too short for any but the final one", ["steps=300"], weights],
  ["one on the way, with both moments", ["steps=501"], weights * (1 + 3)],
  ["two, and a third before one goes", ["steps=5000"], weights * (1 + 3 * 3)],
  ["one moment", ["steps=5000", "train.optimizer=lion"], weights * (1 + 3 * 2)],
  ["saved often", ["steps=3", "train.save_every=1"], weights * (1 + 2 * 3)],
])("%s", (_, settings, bytes) => {
  const set = settings.map((setting) => `targets[0].runs[0].${setting}`);
  const [target] = parseManifestOrThrow(presets["tiny_gqa"] ?? "", { set }).plan.targets;
  expect(target && checkpointBytes(target)).toBe(bytes);
});

it("blockwise keeps one after each layer, without moments", () => {
  const [, target] = parseManifestOrThrow(presets["quickstart"] ?? "").plan.targets;
  const runs = target?.runs.filter(({ train }) => train?.phase === "blockwise") ?? [];
  if (!target || runs.length !== 1) throw new Error("the quick start has one blockwise run");
  const all = checkpointBytes(target);
  const rest = checkpointBytes({ ...target, runs: target.runs.filter((run) => !runs.includes(run)) });
  expect((all - rest) % 4).toBe(0);
  const none = checkpointBytes({ ...target, runs: runs.map((run) => ({ ...run, steps: 1 })) });
  expect(all - rest).toBe(none);
});
