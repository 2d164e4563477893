// biome-ignore-all lint/suspicious/noTemplateCurlyInString: manifests write variables as ${name}.
/** What cannot be honoured is refused at its line, in both forms; mistakes are told once, where they are. */
import { describe, expect, it } from "vitest";
import { describePlan } from "./describe.ts";
import { planNotices } from "./notices.ts";
import { parseManifest, parseManifestOrThrow } from "./parse.ts";
import { presets } from "./presets/index.ts";
import { unsupportedSettings } from "./supported.ts";

const preset = (name: string): string => presets[name] ?? "";
const upcycle = preset("quickstart");
const tiny = preset("tiny_gqa");

/** `line:column path message` of what is wrong, and the text that the caret stands under. */
function refused(text: string): { place: string; message: string; marked: string }[] {
  const { issues } = parseManifest(text, { check: unsupportedSettings });
  const lines = text.split("\n");
  return issues.map(({ line, column, path, message, start, end }) => {
    expect(text.slice(start, start + 1)).toBe(lines[line - 1]?.[column - 1]);
    return { place: path.join("."), message, marked: text.slice(start, end) };
  });
}

it.each(Object.keys(presets))("the preset %s asks for nothing in vain", (name) => {
  expect(refused(preset(name))).toEqual([]);
});

const runKey = (key: string): string => tiny.replace("lr: 1e-3", `lr: 1e-3\n          ${key}`);

describe("a run's settings", () => {
  it.each([
    ["dtype: bfloat16", "dtype"],
    ["use_amp: true", "use_amp"],
    ["auto_batch_size: true", "auto_batch_size"],
    ["distributed_strategy: fsdp", "distributed_strategy"],
    ["offload_optimizer: true", "offload_optimizer"],
    ["teacher_sanity_reference: hf", "teacher_sanity_reference"],
    ["profile_every: 5", "profile_every"],
    ["dba_init: svd-legacy", "dba_init"],
  ])("%s", (line, key) => {
    const [value = ""] = line.split(": ").slice(1);
    expect(refused(runKey(line))).toEqual([
      {
        place: `targets.0.runs.0.train.${key}`,
        marked: value,
        message: expect.stringMatching(/ is not supported yet; \S+/),
      },
    ]);
  });

  it("in the older form, under vars, and once for several seeds", () => {
    const older = preset("llama32_1b_dba_compare")
      .replace("dtype: float32", "dtype: ${kind}")
      .replace("vars:", "vars:\n  kind: float16");
    const found = refused(older);
    expect(found.map(({ place }) => place)).toEqual(["groups.0.runs.0.train.dtype"]);
    expect(found[0]?.message).toMatch(/the value is \$\{kind\} from line \d+$/);
    expect(refused(runKey("dtype: float16").replace("seed: 1337", "seed: [1, 2, 3]"))).toHaveLength(1);
  });
});

describe("targets", () => {
  it.each([
    ["type: TransformerModel", "type: ViTModel", "targets.0.system.config.model.type", "ViTModel"],
    [
      "tied_embeddings: true",
      "tied_embeddings: true\n          diffusion_head: {enabled: true}",
      "targets.0.system.config.model.diffusion_head.enabled",
      "true",
    ],
    ["path: tokens.npy", "dataset: org/set\n        tokens: 1b", "targets.0.data.config.dataset", "org/set"],
    ["seed: 1337", "seed: 1337\n        mode: sample", "targets.0.runs.0.mode", "sample"],
    [
      "seed: 1337",
      "seed: 1337\n        verify: {type: fidelity, batches: 1, max_ppl_ratio: 2}",
      "targets.0.runs.0.verify",
      "verify",
    ],
    [
      "lr: 1e-3",
      "lr: 1e-3\n          teacher_ckpt: a.safetensors",
      "targets.0.runs.0.train.teacher_ckpt",
      "a.safetensors",
    ],
    [
      "type: perplexity\n",
      "type: accuracy\n          tasks: [piqa]\n",
      "targets.0.benchmarks.0.config.type",
      "accuracy",
    ],
    ["eval_iters: 50", "eval_iters: 50\n    instrument: hdf5", "defaults.logging.instrument", "hdf5"],
  ])("%s -> %s", (from, to, place, marked) => {
    const text = tiny
      .replace(from, to)
      .replace(/block_size: 128\n {10}num_batches: 100/, (keys) => (to.includes("accuracy") ? "" : keys));
    expect(refused(text)).toEqual([{ place, marked, message: expect.any(String) }]);
  });

  it("weights to start from: in trainer.standard, and once", () => {
    const with_ = (checkpoint: string) => tiny.replace("lr: 1e-3", `lr: 1e-3\n          init_ckpt: ${checkpoint}`);
    expect(refused(with_("hf://org/name"))).toEqual([]);
    const { plan } = parseManifestOrThrow(with_("hf://org/name"));
    expect(describePlan(plan).join("\n")).toMatch(/optimizer=adamw init=hf:\/\/org\/name/);
    expect(refused(with_("a").replace("trainer.standard", "trainer.upcycle"))).toMatchObject([
      { place: "targets.0.runs.0.train.teacher_ckpt" },
      { place: "targets.0.runs.0.train.init_ckpt", marked: "a", message: expect.stringContaining("trainer.standard") },
    ]);
  });

  it("a suite, a cache kind, another teacher, a late recipe, an upcycle without a teacher", () => {
    const named = tiny.replace(/- id: perplexity[\s\S]*?models/, "- id: riddles\n        models");
    expect(refused(named)).toMatchObject([{ place: "targets.0.benchmarks.0.id", marked: "riddles" }]);
    const stored = upcycle.replace(/cache_kind: \w+/, "cache_kind: q8");
    expect(refused(stored)[0]?.marked).toBe("q8");
    const second = upcycle.indexOf("- id: finetune");
    const late =
      upcycle.slice(0, second) +
      upcycle.slice(second).replace(/kd_weight: 1.0/, "kd_weight: 1.0\n          dba_init: random");
    expect(refused(late)).toMatchObject([
      { marked: "random", message: expect.stringContaining("after the first run") },
    ]);
    const other =
      upcycle.slice(0, second) + upcycle.slice(second).replace(/teacher_ckpt: .*/, "teacher_ckpt: other.safetensors");
    expect(refused(other)).toMatchObject([{ marked: "other.safetensors" }]);
    const none = upcycle.replaceAll(/\n +teacher_ckpt: .*/g, "");
    expect(refused(none)).toMatchObject([{ message: expect.stringContaining("an upcycle needs train.teacher_ckpt") }]);
  });
});

it("what is accepted and changes nothing is said once per run", () => {
  const notices = (text: string): string[] => planNotices(parseManifestOrThrow(text).plan);
  expect(notices(tiny)).toEqual([]);
  expect(notices(runKey("use_amp: true\n          amp_dtype: auto"))).toEqual([
    "train, run train: use_amp is true, but auto resolves to float32 on these engines: activations stay float32",
  ]);
  expect(notices(runKey("num_workers: 4\n          pin_memory: true"))).toEqual([
    "train, run train: num_workers, pin_memory describe other engines and change nothing here",
  ]);
  expect(notices(tiny.replace("eval_iters: 50", "eval_iters: 50\n    wandb: true"))[0]).toContain("nothing is sent");
  expect(notices(tiny.replace("save_every: 500", "best_effort: true"))[0]).toContain("best_effort changes nothing");
  expect(notices(tiny.replace("eval_iters: 50", "instrument: none"))[0]).toContain("instrument none");
  const begun = "tied_embeddings: true\n          initialization: { scheme: gpt2 }";
  expect(notices(tiny.replace("tied_embeddings: true", begun))).toEqual([]);
  // Of the two targets, the second takes its weights from the first.
  const both = upcycle.replaceAll("tied_embeddings: false", begun.replace("true", "false"));
  const changed = notices(both).filter((notice) => notice.includes("initialization"));
  expect(changed).toEqual([
    expect.stringMatching(/: initialization gpt2 changes nothing: weights come from checkpoints$/),
  ]);
  expect(notices(tiny.replace("tied_embeddings: true", "target_params: 5e6"))[0]).toContain("--target-params 5000000");
});

describe("mistakes are told once, where they are", () => {
  const mistakes = (text: string): string[] =>
    parseManifest(text).issues.map(({ line, column, message }) => `${line}:${column} ${message}`);
  const lineOf = (part: string): number => tiny.split("\n").findIndex((line) => line.includes(part)) + 1;

  it("a layer inside a residual branch", () => {
    const wrong = tiny.replace(
      "type: SwiGLULayer\n                        d_model: 128",
      "type: SwiGLULayer\n                        d_model: 64",
    );
    expect(mistakes(wrong)).toEqual([`${lineOf("SwiGLU") + 1}:34 ${mistakes(wrong)[0]?.replace(/^\S+ /, "")}`]);
    expect(mistakes(wrong)[0]).toContain(
      "expected d_model 128 (the width that RMSNormLayer before it gives), found 64",
    );
  });

  it("a block made for another width than the embedder's: its first layer, and the end", () => {
    const wrong = tiny.replace("d_model: 128\n          topology", "d_model: 96\n          topology");
    expect(mistakes(wrong).map((text) => text.replace(/^\S+ /, "").slice(0, 40))).toEqual([
      "expected d_model 96 (the width that the ",
      "expected a topology that ends at width 9",
    ]);
  });

  it("text that is no YAML: at the first character, with what is probably missing", () => {
    expect(mistakes(tiny.replace("version: 2", "version 2"))[0]).toMatch(/^3:1 .*is a colon or a quote missing\?$/);
    expect(mistakes(tiny.replace("        seed: 1337", "      seed: 1337"))[0]).toMatch(
      new RegExp(`^${lineOf("seed: 1337")}:7 .*indent this line like its siblings$`),
    );
    expect(mistakes(tiny.replace("path: tokens.npy", 'path: "tokens.npy'))).toEqual([
      `${lineOf("path: tokens")}:15 not valid YAML: missing closing quote "`,
    ]);
  });
});
