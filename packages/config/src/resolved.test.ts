import { describe, expect, it } from "vitest";
import { parseManifestOrThrow } from "./parse.ts";
import type { Plan } from "./plan.ts";
import { presets } from "./presets/index.ts";
import { resolvedManifest } from "./resolved.ts";

const again = (plan: Plan): Plan =>
  parseManifestOrThrow(JSON.stringify(resolvedManifest(plan)), { file: "m.json" }).plan;

describe("a resolved manifest", () => {
  it.each(Object.keys(presets))("of %s parses to the same plan", (name) => {
    const { plan } = parseManifestOrThrow(presets[name] ?? "");
    const withBlocks = again(plan);
    // The older form has no block size of its own for the data; everything else is equal, and so is a second pass.
    for (const [index, target] of plan.targets.entries()) {
      target.data.blockSize ??= withBlocks.targets[index]?.data.blockSize ?? null;
    }
    expect(withBlocks).toEqual(plan);
    expect(again(withBlocks)).toEqual(withBlocks);
  });

  it("has no variable left and every default written", () => {
    const { plan } = parseManifestOrThrow(presets["llama32_1b_dba"] ?? "");
    const text = JSON.stringify(resolvedManifest(plan));
    expect(text).not.toContain("${");
    expect(text).toContain('"adam_beta2":0.95');
    expect(text).toContain('"sem_dim":128');
  });

  it("keeps the spelling of expected keys and the checkpoints of a comparison", () => {
    const text = (presets["tiny_decoupled"] ?? "").replace(
      "trainer: trainer.standard",
      "trainer: {ref: trainer.checkpoint_compare, config: {teacher_ckpt: a, student_ckpt: b}}",
    );
    const runless = text.replace(/ {4}runs:[\s\S]*?(?= {4}benchmarks:)/, "    runs: []\n");
    const { plan } = parseManifestOrThrow(runless);
    expect(plan.targets[0]?.trainer).toEqual({ type: "checkpoint_compare", teacherCkpt: "a", studentCkpt: "b" });
    expect(again(plan)).toEqual(plan);
  });
});
