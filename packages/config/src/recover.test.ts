/**
 * All mistakes in one go: a mistake of the schema hides none of those that only a right manifest can be searched for,
 * and what was taken out to go on makes no mistakes of its own. Each pair of mistakes is told as the two are alone.
 */
import { describe, expect, it } from "vitest";
import { parseManifest } from "./parse.ts";
import { unsupportedSettings } from "./supported.ts";

const base = `version: 2
name: pairs
notes: for people
defaults:
  tokenizer: byte
targets:
  - type: experiment
    name: first
    data: {ref: dataset.tokens, config: {path: a.tokens, block_size: 32}}
    system:
      ref: system.language_model
      config:
        model:
          block_size: 64
          embedder: {type: token, vocab_size: 256, d_model: 64}
          topology:
            type: StackedTopology
            layers:
              - type: RMSNormLayer
                d_model: 64
              - type: AttentionLayer
                d_model: 64
                n_heads: 4
                mode: decoupled
                sem_dim: 16
                geo_dim: 32
              - type: LinearLayer
                d_in: 64
                d_out: 64
    trainer: trainer.upcycle
    runs:
      - id: surgery
        steps: 10
        expected: {phase: blockwise, attn_mode: dba}
        train: {phase: blockwise, batch_size: 2, block_size: 32, lr: 0.001, teacher_ckpt: t}
      - id: finetune
        steps: 10
        expected: {phase: global, attn_mode: dba}
        verify: {type: compare, batches: 2, logits: {max_max_l1: 1}}
        train: {phase: global, batch_size: 2, block_size: 32, lr: 0.001}
    benchmarks:
      - id: ppl
        config: {type: perplexity, dataset: a.tokens, block_size: 32}
      - id: mem
        config: {type: memory, sequence_lengths: [32]}
  - &other
    type: experiment
    name: second
    data: {ref: dataset.tokens, config: {path: a.tokens, block_size: 32}}
    system:
      ref: system.language_model
      config:
        model:
          embedder: {type: token, vocab_size: 256, d_model: 32}
          topology: {type: StackedTopology, layers: [{type: RMSNormLayer, d_model: 32}]}
    runs:
      - id: only
        steps: 5
        train: {phase: standard, batch_size: 2, block_size: 32, lr: 0.001}
entrypoints: {default: first}
`;

type Edit = readonly [what: string, from: string, to: string];

/** The schema alone finds these. */
const schemaMistakes: readonly Edit[] = [
  ["an unknown key at the top", "notes: for people", "nots: for people"],
  ["an unknown key of a target", "trainer: trainer.upcycle", "trainr: trainer.upcycle"],
  ["a value of the wrong type in a layer", "n_heads: 4", "n_heads: four"],
  ["a missing key of a layer", "                d_out: 64\n", ""],
  ["a type that does not exist", "type: LinearLayer", "type: LinearLayr"],
  ["a wrong value of the first run", "lr: 0.001, teacher_ckpt", "lr: fast, teacher_ckpt"],
  ["a run without its name", "- id: finetune\n        steps", "- steps"],
  ["a wrong phase", "train: {phase: blockwise", "train: {phase: blokwise"],
  ["a wrong word in the other target", "phase: standard", "phase: 7"],
  ["a benchmark of an unknown type", "type: memory", "type: memroy"],
  ["a wrong default", "tokenizer: byte", "tokenizer: [byte]"],
  ["a rule of one layer", "sem_dim: 16", "sem_dim: 17"],
];

/** These show only in a manifest whose parts are right. */
const laterMistakes: readonly Edit[] = [
  ["a width that does not fit", "vocab_size: 256, d_model: 32}", "vocab_size: 256, d_model: 48}"],
  ["a target's name twice", "entrypoints: {default: first}\n", "  - *other\nentrypoints: {default: first}\n"],
  [
    "a run of more tokens than the model takes",
    "batch_size: 2, block_size: 32, lr: 0.001}\n    benchmarks",
    "batch_size: 2, block_size: 128, lr: 0.001}\n    benchmarks",
  ],
  ["a benchmark's name twice", "- id: mem", "- id: ppl"],
  ["no steps", "id: only\n        steps: 5", "id: only"],
  [
    "a setting that is not built",
    "batch_size: 2, block_size: 32, lr: 0.001}\nentry",
    "batch_size: 2, block_size: 32, lr: 0.001, dtype: float16}\nentry",
  ],
  ["an entry point to nowhere", "{default: first}", "{default: third}"],
];

/** The second mistake stands in the very run, train block or benchmark that cannot be read because of the first. */
const unreadable = new Set([
  "a run without its name, and a run of more tokens than the model takes",
  "a wrong word in the other target, and no steps",
  "a wrong word in the other target, and a setting that is not built",
  "a benchmark of an unknown type, and a benchmark's name twice",
]);

function edited(...edits: readonly Edit[]): string {
  return edits.reduce((text, [what, from, to]) => {
    expect(text.split(from), `${what}: its place is there once`).toHaveLength(2);
    return text.replace(from, () => to);
  }, base);
}

/** `path: message` of every mistake, sorted. */
function mistakes(text: string): string[] {
  const result = parseManifest(text, { check: unsupportedSettings });
  return result.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).sort();
}

describe("going on after a mistake of the schema", () => {
  it("starts from a manifest that is right", () => {
    expect(mistakes(base)).toEqual([]);
  });

  for (const first of schemaMistakes) {
    it(`${first[0]}: alone it is one mistake`, () => {
      expect(mistakes(edited(first))).toHaveLength(1);
    });
    for (const second of laterMistakes) {
      const pair = `${first[0]}, and ${second[0]}`;
      it(`${pair}: ${unreadable.has(pair) ? "the first is told" : "both are told"}, and no others`, () => {
        const told = [first, ...(unreadable.has(pair) ? [] : [second])].flatMap((edit) => mistakes(edited(edit)));
        expect(mistakes(edited(first, second))).toEqual(told.sort());
      });
    }
  }

  it("what a run expects is compared although another run is wrong", () => {
    const wrong = edited(
      ["a wrong value", "lr: 0.001, teacher_ckpt", "lr: fast, teacher_ckpt"],
      ["another phase", "{phase: global, attn_mode: dba}", "{phase: global, attn_mode: gqa}"],
    );
    expect(mistakes(wrong)).toEqual([
      expect.stringContaining("targets.0.runs.0.train.lr: expected a number"),
      expect.stringContaining("targets.0.runs.1.expected.attn_mode: expected attn_mode: gqa"),
    ]);
  });

  it("entries that follow one that cannot be read keep their places", () => {
    const wrong = edited(
      ["a run that is none", "- id: surgery\n        steps: 10", "- steps: 10"],
      ["no steps", "id: only\n        steps: 5", "id: only"],
      ["another mode", "{phase: global, attn_mode: dba}", "{phase: blockwise, attn_mode: dba}"],
    );
    const result = parseManifest(wrong);
    const lines = wrong.split("\n");
    expect(result.issues.map(({ line, path }) => [lines[line - 1]?.trim(), path.join(".")])).toEqual([
      ["- steps: 10", "targets.0.runs.0.id"],
      ["expected: {phase: blockwise, attn_mode: dba}", "targets.0.runs.1.expected.phase"],
      ["- id: only", "targets.1.runs.0.steps"],
    ]);
  });
});
