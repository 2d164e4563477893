import { describe, expect, it } from "vitest";
import { ManifestError } from "./manifest-error.ts";
import { parseManifest, parseManifestOrThrow } from "./parse.ts";
import type { Plan } from "./plan.ts";
import { presets } from "./presets/index.ts";

/** A small whole manifest of version 2; lines can be replaced to plant a mistake. */
const whole = `version: 2
name: tiny
defaults:
  data: {tokenizer: byte, val_frac: 0.2}
targets:
  - type: experiment
    name: train
    data:
      ref: dataset.tokens
      config:
        path: tokens.npy
        block_size: 32
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          embedder: {type: token, vocab_size: 256, d_model: 16}
          topology:
            type: StackedTopology
            layers:
              - type: RMSNormLayer
                d_model: 16
    runs:
      - id: first
        seed: 7
        steps: 10
        train:
          phase: standard
          batch_size: 2
          block_size: 32
          lr: 1e-3
`;

const plan = (text: string, file?: string): Plan => parseManifestOrThrow(text, { file }).plan;

/** `line:column path: message` of every mistake. */
function mistakes(text: string, file = "m.yml"): string[] {
  const result = parseManifest(text, { file });
  if (result.ok) return [];
  return result.issues.map((issue) => `${issue.line}:${issue.column} ${issue.path.join(".")}: ${issue.message}`);
}

/** The manifest with one line replaced, and where that line is. */
function replaced(from: string, to: string): { text: string; line: number } {
  const line = whole.split("\n").findIndex((candidate) => candidate.includes(from.split("\n", 1)[0] ?? from)) + 1;
  expect(line).toBeGreaterThan(0);
  return { text: whole.replace(from, to), line };
}

describe("a manifest that is right", () => {
  it("becomes a plan with all defaults", () => {
    const { targets, defaults, name } = plan(whole);
    expect(name).toBe("tiny");
    expect(defaults).toMatchObject({ tokenizer: "byte", valFrac: 0.2, evalIters: 50, saveEvery: 100, wandb: false });
    expect(targets[0]).toMatchObject({
      name: "train",
      trainer: { type: "standard" },
      data: { path: "tokens.npy", blockSize: 32, valFrac: 0.2, tokenizer: "byte" },
      benchmarks: [],
    });
    expect(targets[0]?.runs[0]).toMatchObject({
      id: "first",
      exp: "first",
      mode: "train",
      seed: 7,
      steps: 10,
      verify: null,
    });
    expect(targets[0]?.runs[0]?.train).toMatchObject({ lr: 0.001, evalIters: 50, saveEvery: 100, optimizer: "adamw" });
  });

  it("means the same as JSON, tabs included", () => {
    const yaml = parseManifestOrThrow(whole).manifest;
    const tree = {
      version: 2,
      name: "tiny",
      defaults: { data: { tokenizer: "byte", val_frac: 0.2 } },
      targets: [
        {
          type: "experiment",
          name: "train",
          data: { ref: "dataset.tokens", config: { path: "tokens.npy", block_size: 32 } },
          system: {
            ref: "system.language_model",
            config: {
              model: {
                type: "TransformerModel",
                embedder: { type: "token", vocab_size: 256, d_model: 16 },
                topology: { type: "StackedTopology", layers: [{ type: "RMSNormLayer", d_model: 16 }] },
              },
            },
          },
          runs: [
            { id: "first", seed: 7, steps: 10, train: { phase: "standard", batch_size: 2, block_size: 32, lr: 1e-3 } },
          ],
        },
      ],
    };
    for (const indent of ["\t", 2]) {
      expect(parseManifestOrThrow(JSON.stringify(tree, null, indent), { file: "m.json" }).manifest).toEqual(yaml);
    }
  });

  it("makes one run per seed", () => {
    const runs = plan(replaced("seed: 7", "seed: [1, 2]").text).targets[0]?.runs;
    expect(runs?.map((run) => [run.id, run.exp, run.seed])).toEqual([
      ["first__s1", "first__s1", 1],
      ["first__s2", "first__s2", 2],
    ]);
  });

  it("may use anchors and merge keys; a mapping's own keys win, then the first source", () => {
    const text = replaced(
      "        train:\n          phase: standard\n          batch_size: 2\n",
      "        train:\n          <<: [{batch_size: 5, phase: global}, {batch_size: 6, eval_batches: 3}]\n          phase: standard\n",
    ).text;
    expect(plan(text).targets[0]?.runs[0]?.train).toMatchObject({ phase: "standard", batchSize: 5, evalBatches: 3 });
  });

  it("may use the documents' spellings of train keys", () => {
    const { text } = replaced(
      "lr: 1e-3",
      "lr: 1e-3\n          lr_schedule: cosine\n          beta2: 0.99\n          grad_clip: 1",
    );
    expect(plan(text).targets[0]?.runs[0]?.train).toMatchObject({
      scheduler: "cosine",
      adamBeta2: 0.99,
      gradClipNorm: 1,
    });
  });

  it("keeps a run's own intervals before the defaults", () => {
    const { text } = replaced("lr: 1e-3", "lr: 1e-3\n          save_every: 9");
    expect(plan(text).targets[0]?.runs[0]?.train).toMatchObject({ saveEvery: 9, evalIters: 50 });
  });
});

describe("a mistake is shown where it must be mended", () => {
  it.each([
    ["an unknown key", "seed: 7", "sed: 7", 9, 'targets.0.runs.0.sed: unknown key "sed"'],
    [
      "a wrong type",
      "steps: 10",
      'steps: "10"',
      16,
      'targets.0.runs.0.steps: expected an integer, found "10"; write it without quotes',
    ],
    [
      "a value out of range",
      "lr: 1e-3",
      "lr: -1",
      15,
      "targets.0.runs.0.train.lr: expected a number greater than 0, found -1",
    ],
    [
      "a fraction",
      "batch_size: 2",
      "batch_size: 2.5",
      23,
      "targets.0.runs.0.train.batch_size: expected an integer, found 2.5",
    ],
    [
      "an unknown word",
      "phase: standard",
      "phase: standrad",
      18,
      "targets.0.runs.0.train.phase: expected standard, blockwise or global",
    ],
    [
      "an unknown layer",
      "type: RMSNormLayer",
      "type: rms_norm",
      23,
      "targets.0.system.config.model.topology.layers.0.type: expected one of ",
    ],
    [
      "a width that does not fit",
      "                d_model: 16",
      "                d_model: 32",
      26,
      "targets.0.system.config.model.topology.layers.0.d_model: expected d_model 16",
    ],
    [
      "one bad seed of several",
      "seed: 7",
      "seed: [1, x]",
      19,
      'targets.0.runs.0.seed.1: expected an integer, found "x"',
    ],
    [
      "a bare word for a component",
      "    runs:",
      "    trainer: upcycel\n    runs:",
      14,
      "targets.0.trainer: expected trainer.train",
    ],
    [
      "a misspelt type key",
      "type: StackedTopology",
      "tipe: StackedTopology",
      11,
      "targets.0.system.config.model.topology.type: expected",
    ],
    ["an empty seed list", "seed: 7", "seed: []", 9, "targets.0.runs.0.seed: expected"],
    [
      "a name that is no file name",
      "id: first",
      "id: ../first",
      13,
      "targets.0.runs.0.id: expected a name of letters, digits",
    ],
    [
      "an old key with advice",
      "lr: 1e-3",
      "min_lr: 1",
      11,
      'targets.0.runs.0.train.min_lr: unknown key "min_lr": write min_lr_ratio',
    ],
    [
      "no path and no dataset",
      "path: tokens.npy",
      "tokens: 1b",
      7,
      "targets.0.data.config: expected path, or both dataset and tokens",
    ],
  ])("%s", (_, from, to, column, start) => {
    const { text, line } = replaced(from, to);
    const found = mistakes(text).filter((mistake) => mistake.includes(start));
    expect(found, mistakes(text).join("\n")).toHaveLength(1);
    if (start.includes("data.config")) expect(found[0]).toMatch(/^10:7 /);
    else if (start.includes("topology.type")) expect(found[0]).toMatch(/^19:11 .* is "tipe" a slip\?$/);
    else expect(found[0]).toMatch(new RegExp(`^${line}:${column} `));
  });

  it("a missing key: at the mapping that lacks it", () => {
    expect(mistakes(replaced("          lr: 1e-3\n", "").text)).toEqual([
      "28:9 targets.0.runs.0.train.lr: expected a number, found nothing: this key is required",
    ]);
    expect(mistakes(replaced("        steps: 10\n", "").text)).toEqual([
      "25:9 targets.0.runs.0.steps: expected a number of optimizer steps (the run has a train block), found nothing",
    ]);
  });

  it("a duplicate key: at the second one", () => {
    expect(mistakes(replaced("seed: 7", "seed: 7\n        seed: 8").text)).toEqual([
      '27:9 targets.0.runs.0.seed: expected each key once, found "seed" a second time',
    ]);
  });

  it("a key in both spellings: at the old one", () => {
    const { text } = replaced("lr: 1e-3", "lr: 1e-3\n          grad_clip: 1\n          grad_clip_norm: 1");
    expect(mistakes(text)).toEqual([
      "33:11 targets.0.runs.0.train.grad_clip: expected grad_clip_norm once, found it under its old name too",
    ]);
  });

  it("a value with CRLF line ends and a byte order mark", () => {
    const { text, line } = replaced("lr: 1e-3", "lr: -1");
    expect(mistakes(`\uFEFF${text.replaceAll("\n", "\r\n")}`)[0]).toMatch(new RegExp(`^${line}:15 `));
  });

  it("all mistakes, in the order of the text", () => {
    const text = whole
      .replace("lr: 1e-3", "lr: x")
      .replace("seed: 7", "sed: 7")
      .replace("val_frac: 0.2", "val_frac: 2");
    expect(mistakes(text).map((mistake) => mistake.split(":", 1)[0])).toEqual(["4", "26", "32"]);
  });

  it("rules across parts", () => {
    expect(mistakes(`${whole}entrypoints: {default: tran}\n`)).toEqual([
      '33:24 entrypoints.default: expected the name of a target (train), found "tran" (did you mean "train"?)',
    ]);
    expect(mistakes(`${whole}      - id: first\n`)).toEqual([
      '33:13 targets.0.runs.1.id: expected each run id once, found "first" a second time',
    ]);
    const twice = replaced("defaults:\n", "defaults:\n  val_frac: 0.1\n").text;
    expect(mistakes(twice)).toEqual([
      "5:37 defaults.data.val_frac: expected val_frac once, found it in defaults and in defaults.data",
    ]);
    const long = replaced("type: TransformerModel", "type: TransformerModel\n          block_size: 16").text;
    expect(mistakes(long)[0]).toMatch(
      /^32:23 targets\.0\.runs\.0\.train\.block_size: expected at most the model's block_size 16/,
    );
  });

  it("trainers and benchmarks that cannot do what they are asked", () => {
    const trainer = replaced("    runs:\n", "    trainer: trainer.standard\n    runs:\n").text.replace(
      "phase: standard",
      "phase: global",
    );
    expect(mistakes(trainer)).toEqual([
      "30:18 targets.0.runs.0.train.phase: expected phase: standard with trainer.standard, found global; write trainer: trainer.upcycle",
    ]);
    const short = replaced("type: TransformerModel", "type: TransformerModel\n          block_size: 64").text;
    const benchmarks =
      "    benchmarks:\n      - {id: p, config: {type: perplexity, block_size: 65}}\n      - {id: l, config: {type: latency, prompt_lengths: [60, 8], generation_lengths: [5]}}\n";
    expect(mistakes(short + benchmarks)).toEqual([
      "35:56 targets.0.benchmarks.0.config.block_size: expected at most the model's block_size 64 tokens of context, found 65",
      "36:41 targets.0.benchmarks.1.config.prompt_lengths: expected at most the model's block_size 64 tokens of context, found 65",
    ]);
  });

  it("expected settings that the run does not have", () => {
    const expecting = (line: string): string[] => mistakes(replaced("seed: 7", `expected: {${line}}`).text);
    expect(expecting("phase: standard, tied_embeddings: true, batch_size: 2")).toEqual([]);
    expect(expecting("phase: global")).toEqual([
      "26:27 targets.0.runs.0.expected.phase: expected phase: global, found standard in the resolved settings",
    ]);
    expect(expecting("attn_mode: decoupled")[0]).toContain("expected attn_mode: decoupled, found undefined");
    expect(expecting("phse: standard")[0]).toContain('found "phse" (did you mean "phase"?)');
  });
});

describe("text that is no manifest", () => {
  it.each([
    ["", "1:1 : expected a mapping with version, targets ..., found nothing"],
    ["# only a comment\n", "found nothing"],
    ["{}", "found an empty mapping"],
    ["- 1\n- 2\n", "1:1 : expected a mapping with version, targets ..., found a list"],
    ["hello", "1:1 : expected a mapping with version, targets ..., found a single value"],
    ["---\n", "1:4 : expected a mapping with version, targets ..., found nothing"],
    ["version: 2\n\ttargets: []\n", "2:"],
    ["version: [2\n", "not valid YAML"],
    ["version: 2\n---\nversion: 2\n", "write one manifest per file"],
    ["version: 2\ntargets: !include other.yml\n", "2:10 : not valid YAML: unresolved tag"],
    ["version: 2\n? {a: 1}\n: 2\n", "expected a word as key"],
    ["__proto__: {}\nversion: 2\n", "1:1 : expected a word as key"],
    ["version: 2\nnotes: *nowhere\n", "expected the name of an anchor defined before, found *nowhere"],
    ["version: .inf\n", "1:10 version: expected a finite number"],
    ["version: 2\ndefaults: &a\n  data: *a\n", "expected the name of an anchor defined before, found *a"],
  ])("%j", (text, expected) => {
    expect(mistakes(text).join("\n")).toContain(expected);
  });

  it("broken JSON is reported as JSON", () => {
    expect(mistakes('{"version": 2,}', "m.json")[0]).toContain("not valid JSON");
    expect(mistakes('{"version": 2, "targets": [1,]}', "m.json")).toEqual([
      "1:30 : not valid JSON: unexpected token ']'",
    ]);
    expect(mistakes("version: 2", "m.json")[0]).toMatch(/^1:1 : not valid JSON/);
    expect(mistakes(whole, "m.toml")[0]).toContain("expected a file name ending in .yml, .yaml or .json");
  });

  it("deep nesting and exploding aliases end in a message, quickly", () => {
    const deep = "expected at most 200 levels of nesting, found more";
    // A mapping is the first level, the bracket after `version: ` (9 characters) the second.
    expect(mistakes(`version: ${"[".repeat(300)}${"]".repeat(300)}`)).toEqual([`1:${9 + 200} : ${deep}`]);
    expect(mistakes(`version: 2\nname: ${"[".repeat(20000)}`)).toEqual([`2:${6 + 201} : ${deep}`]);
    const bomb = Array.from(
      { length: 30 },
      (_, i) => `a${i}: &a${i} [${i === 0 ? "x" : `*a${i - 1}, *a${i - 1}`}]`,
    ).join("\n");
    // a_n holds 3 * 2^n - 1 values: a19 is the first with more than a million, and line 21 puts it into a20.
    expect(mistakes(bomb)).toEqual([
      expect.stringMatching(/^21:12 a29[.0]+: expected at most 1000000 values .* found 3221225440$/),
    ]);
  });
});

describe("ManifestError", () => {
  it("shows file, line, column, path, the line and a caret, and says what to do", () => {
    try {
      parseManifestOrThrow(replaced("seed: 7", "sed: 7").text, { file: "exp.yml" });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ManifestError);
      const { message, remedy, code, issues } = error as ManifestError;
      expect(message).toBe(
        [
          "exp.yml: 1 mistake",
          'exp.yml:26:9: targets[0].runs[0].sed: unknown key "sed" (did you mean "seed"?)',
          "    26 |         sed: 7",
          "       |         ^^^",
        ].join("\n"),
      );
      expect(code).toBe("MANIFEST_INVALID");
      expect(remedy).toContain("exp.yml");
      expect(issues[0]).toMatchObject({ code: "unknown_key", suggestion: "seed", line: 26, column: 9 });
    }
  });
});

it("tells an entry point that names no target, beside other mistakes", () => {
  const text = (presets["tiny_decoupled"] ?? "")
    .replace("lr: 1e-3", "lr: fast")
    .replace("targets:\n", "entrypoints: {default: nowhere}\ntargets:\n");
  const { issues } = parseManifest(text);
  expect(issues.map(({ path }) => path.join("."))).toEqual([
    "entrypoints.default",
    expect.stringMatching(/train\.lr$/),
  ]);
});

it("a type that does not exist is one mistake, whatever else its mapping has or lacks", () => {
  const text = "version: 2\ntargets:\n  - {type: process, name: p, team: {}, process: {type: x}}\n";
  expect(parseManifest(text).issues.map(({ path }) => path.join("."))).toEqual(["targets.0.type"]);
});
