import { parseManifestOrThrow, presets } from "@caramba/config";
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
