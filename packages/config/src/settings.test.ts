import { describe, expect, it } from "vitest";
import { formatIssue } from "./manifest-error.ts";
import { parseManifest, parseManifestOrThrow } from "./parse.ts";
import type { Plan } from "./plan.ts";
import { presets } from "./presets/index.ts";

const preset = presets["llama32_1b_dba"] ?? "";
const plan = (...set: string[]): Plan => parseManifestOrThrow(preset, { set }).plan;

function mistakes(...set: string[]): string[] {
  const result = parseManifest(preset, { file: "m.yml", set });
  return result.ok
    ? []
    : result.issues.map(
        (issue) => `${issue.file}:${issue.line}:${issue.column} ${issue.path.join(".")}: ${issue.message}`,
      );
}

describe("settings", () => {
  it("change a value by index or by name, others stay", () => {
    const changed = plan("targets[0].runs[1].steps=7", "targets.quick.runs.finetune.train.lr=1e-6");
    expect(changed.targets.map((target) => target.runs.map((run) => run.steps))).toEqual([
      [500, 7],
      [50, 100],
    ]);
    expect(changed.targets[1]?.runs[1]?.train?.lr).toBe(1e-6);
    expect(changed.targets[0]?.runs[1]?.train?.lr).toBe(5e-5);
  });

  it("change variables before they are used, and add keys, mappings and list entries", () => {
    const changed = plan(
      "vars.sem_dim=64",
      "defaults.logging.eval_iters=3",
      "name=other",
      "targets.quick.benchmarks[1]={id: riddles}",
    );
    const text = JSON.stringify(changed.targets[0]?.model);
    expect(text).toContain('"semDim":64');
    expect(changed.defaults.evalIters).toBe(3);
    expect(changed.name).toBe("other");
    expect(changed.targets[1]?.benchmarks.map((spec) => spec.config.type)).toEqual(["perplexity", "suite"]);
    expect(
      plan(
        "targets.quick.runs.blockwise.verify.type=compare",
        "targets.quick.runs.blockwise.verify.batches=1",
        "targets.quick.runs.blockwise.verify.logits.max_mean_l1=1",
      ).targets[1]?.runs[0]?.verify,
    ).toMatchObject({ type: "compare", batches: 1 });
  });

  it("apply in order; the last wins", () => {
    expect(plan("targets[0].runs[0].steps=1", "targets[0].runs[0].steps=2").targets[0]?.runs[0]?.steps).toBe(2);
  });

  it("of a variable that nothing reads is refused, where its name stands", () => {
    const [told, ...others] = mistakes("vars.sem_dm=64");
    expect(told).toMatch(/^--set:1:1 vars\.sem_dm: expected a variable .*found "sem_dm" \(did you mean "sem_dim"\?\)$/);
    expect(others).toEqual([]);
    expect(() => parseManifestOrThrow(preset, { set: ["vars.sem_dm=64"] })).toThrow(
      expect.objectContaining({ remedy: "Correct the setting marked and run the command again." }),
    );
  });

  it("of a variable that the manifest uses and does not have is taken", () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: manifests write variables as ${name}.
    const text = preset.replace(/^name: .*$/m, 'name: "${called}"');
    expect(parseManifestOrThrow(text, { set: ["vars.called=it"] }).plan.name).toBe("it");
  });

  it("are checked like the manifest, with their own place", () => {
    expect(mistakes("targets.paper.runs.blockwise.steps=-1")).toEqual([
      "--set:1:36 targets.0.runs.0.steps: expected a number greater than 0, found -1",
    ]);
    const [first] = (() => {
      const result = parseManifest(preset, { set: ["targets[1].runs[0].train.lr=fast"] });
      return result.ok ? [] : result.issues;
    })();
    expect(first && formatIssue(first)).toBe(
      [
        '--set:1:29: targets[1].runs[0].train.lr: expected a number, found "fast"',
        "    1 | targets[1].runs[0].train.lr=fast",
        "      |                             ^^^^",
      ].join("\n"),
    );
    expect(mistakes("targets[0].runs[0].stps=1")[0]).toContain('unknown key "stps"');
  });

  it.each([
    ["steps", 'expected a setting path=value, found "steps"'],
    ["=1", "expected a setting path=value"],
    ["a..b=1", "expected a setting path=value"],
    ["name=[1", "not valid YAML"],
    ["targets.papr.name=x", 'expected the name of an entry (paper, quick), found "papr" (did you mean "paper"?)'],
    ["targets[9].name=x", "expected an index up to 2, found 9"],
    ["name.first=x", "expected a mapping at name, found something else"],
    ["vars[0]=x", "expected a list at vars, found something else"],
  ])("refuse %s", (setting, message) => {
    expect(mistakes(setting)[0]).toContain(message);
    expect(mistakes(setting)[0]).toMatch(/^--set:1:\d+ /);
  });
});
