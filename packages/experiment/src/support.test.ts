import { checkBenchmarks } from "@caramba/benchmark";
import { parseManifestOrThrow, presets, unsupportedSettings } from "@caramba/config";
import { expect, it } from "vitest";
import { demandSupportedPlan } from "./support.ts";

/** The quick start with one edit in the part that begins at `from`. */
function check(from: string, edit: (text: string) => string): void {
  const text = presets["quickstart"] ?? "";
  const at = text.indexOf(from);
  const { plan } = parseManifestOrThrow(text.slice(0, at) + edit(text.slice(at)));
  demandSupportedPlan(plan, plan.targets);
}

it("the quick start itself is supported", () => {
  expect(() => check("version", (text) => text)).not.toThrow();
});

it("what a later run says of the teacher may not differ from the first", () => {
  const rename = (text: string) => text.replace(/teacher_ckpt: .*/, "teacher_ckpt: other.safetensors");
  expect(() => check("- id: finetune", rename)).toThrow(
    /run "finetune": another teacher_ckpt than that of run "blockwise"/,
  );
  const random = (text: string) => text.replace("kd_weight: 1.0", "kd_weight: 1.0\n          dba_init: random");
  expect(() => check("- id: finetune", random)).toThrow(/dba_init random after the first run/);
});

it("a teacher is refused where none is used", () => {
  const add = (text: string) =>
    text.replace("phase: standard", "phase: standard\n          teacher_ckpt: x.safetensors");
  expect(() => check("- id: teacher", add)).toThrow(/teacher_ckpt has no use in trainer.standard/);
});

it("benchmarks that are refused at their line are those that the benchmark package refuses", () => {
  const types = ["perplexity", "latency", "memory", "accuracy", "generation", "behavior", "context", "suite"] as const;
  const more: Record<string, string> = {
    accuracy: ", tasks: [piqa]",
    generation: ", prompts_file: p.yml",
    behavior: ", tokenizer: {type: byte}, cases_file: c.yml",
    suite: ", suite: riddles",
  };
  const kinds = ["fp16", "fp32", "q8", "q4", "nf4"].map((kind) => `{type: latency, cache_kind: ${kind}}`);
  const configs = [...types.map((type) => `{type: ${type}${more[type] ?? ""}}`), ...kinds];
  const tiny = presets["tiny_gqa"] ?? "";
  for (const config of configs) {
    const text = tiny.replace(/benchmarks:[\s\S]*/, `benchmarks: [{id: b, config: ${config}}]\n`);
    const { plan } = parseManifestOrThrow(text);
    const refusedHere = unsupportedSettings(plan).length > 0;
    const check = () =>
      checkBenchmarks(plan.targets[0]?.benchmarks ?? [], { hasTokens: true, canLoadCheckpoints: true });
    if (refusedHere) expect(check, config).toThrow(/not supported/);
    else expect(check, config).not.toThrow();
  }
});
