/**
 * Every YAML and JSON block of the documents that the format comes from, as written there (fixtures/config/documents, as .txt so that no formatter touches them):
 * none is a whole manifest, so each stands inside the smallest whole one. The guide also circulates without its
 * indentation; those blocks are the same lines and no YAML.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseManifest } from "./parse.ts";
import type { Plan } from "./plan.ts";

const folder = new URL("../../../fixtures/config/documents/", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, folder), "utf8");
const indent = (text: string, by: number): string => text.replace(/^(?=.)/gm, " ".repeat(by));

const model = "{topology: {type: StackedTopology, layers: [{type: DropoutLayer}]}}";
const data = "{ref: dataset.tokens, config: {path: data.npy, block_size: 64}}";
const system = `{ref: system.language_model, config: {model: ${model}}}`;
const target = `version: 2
targets:
  - type: experiment
    name: whole
    data: ${data}
    system: ${system}
`;
const group = (body: string): string => `version: 1
model: ${model}
groups:
  - name: whole
    data: data.npy
${indent(body, 4)}`;

/** `[...]` stands for what an example leaves out; a target or group needs its data and model besides what it shows. */
const completed = (text: string, keys: string): string =>
  text.replaceAll("[...]", "[]").replace(/^( *)(- )?name: .*$/m, (line, space) => `${line}\n${space}${keys}`);

interface Block {
  readonly file: string;
  /** Where it stands in a whole manifest, or why it belongs in none. */
  readonly role: string;
  readonly whole: ((text: string) => string) | null;
  readonly check?: (plan: Plan) => void;
}

const inBenchmarks = (text: string): string => `${target}    benchmarks:\n${indent(text, 6)}`;
const inTarget = (text: string): string => `${target}${indent(text, 4)}`;
const targets = (text: string): string => `version: 2\n${completed(text, `data: ${data}\n    system: ${system}`)}`;

const blocks: readonly Block[] = [
  {
    file: "guide-overview.yml.txt",
    role: "fragment: targets, without data and system; runs left out",
    whole: targets,
    check: ({ targets: [only] }) => expect(only?.benchmarks).toMatchObject([{ id: "perplexity" }]),
  },
  {
    file: "guide-perplexity.yml.txt",
    role: "fragment: one of a target's benchmarks",
    whole: inBenchmarks,
    check: ({ targets: [only] }) =>
      expect(only?.benchmarks[0]?.config).toMatchObject({ dataset: "fineweb_100m.npy", batchSize: 1, numBatches: 100 }),
  },
  {
    file: "guide-latency.yml.txt",
    role: "fragment: one of a target's benchmarks",
    whole: inBenchmarks,
    check: ({ targets: [only] }) =>
      expect(only?.benchmarks[0]?.config).toMatchObject({ generationLengths: [64, 128, 256], timedRuns: 10 }),
  },
  {
    file: "guide-memory.yml.txt",
    role: "fragment: one of a target's benchmarks",
    whole: inBenchmarks,
    check: ({ targets: [only] }) =>
      expect(only?.benchmarks[0]?.config).toMatchObject({ quantizationModes: ["fp16", "q8_0", "q4_0"] }),
  },
  {
    file: "guide-in-manifests.yml.txt",
    role: "fragment: targets, without data and system; the run's training left out",
    whole: targets,
    check: ({ targets: [only] }) => {
      expect(only?.runs).toMatchObject([{ id: "train", train: null }]);
      expect(only?.benchmarks[1]).toMatchObject({ models: ["student"], repeats: 3 });
    },
  },
  {
    file: "guide-benchmark-only.yml.txt",
    role: "fragment: targets, without data and system",
    whole: targets,
    check: ({ targets: [only] }) =>
      expect(only).toMatchObject({ runs: [], benchmarks: [{ config: { checkpoint: "path/to/checkpoint.pt" } }] }),
  },
  { file: "guide-custom-suite.yml.txt", role: "a suite of prompts, a kind of file of its own", whole: null },
  { file: "guide-quick.yml.txt", role: "fragment: a target's benchmarks", whole: inTarget },
  {
    file: "guide-full-paper.yml.txt",
    role: "fragment: a target's benchmarks",
    whole: inTarget,
    check: ({ targets: [only] }) => expect(only?.benchmarks.map(({ repeats }) => repeats)).toEqual([1, 3, 1]),
  },
  {
    file: "readme-variables.yml.txt",
    role: "fragment: vars and model of the older form",
    whole: (text) => `version: 1\n${text}groups: [{name: whole, data: data.npy}]\n`,
    check: ({ targets: [only] }) =>
      expect(only?.model.topology).toMatchObject({ layers: [{ dModel: 2048, nHeads: 32, nKvHeads: null }] }),
  },
  {
    file: "readme-defaults.yml.txt",
    role: "fragment: flat defaults",
    whole: (text) => `${text}${group("runs: []")}`,
    check: ({ defaults }) => expect(defaults).toMatchObject({ tokenizer: "llama", valFrac: 0.05, saveEvery: 500 }),
  },
  {
    file: "readme-topology.yml.txt",
    role: "fragment: a model's topology",
    whole: (text) => `version: 1\nmodel:\n${indent(text, 2)}groups: [{name: whole, data: data.npy}]\n`,
    check: ({ targets: [only] }) => expect(only?.model.topology).toMatchObject({ layers: [{ repeat: 16 }, {}] }),
  },
  {
    file: "readme-compare.yml.txt",
    role: "fragment: a group's runs; the run's training left out",
    whole: group,
    check: ({ targets: [only] }) =>
      expect(only?.runs[0]?.verify).toMatchObject({ attention: { maxMeanL1: 0.05 }, logits: { maxMaxL1: 0.25 } }),
  },
  {
    file: "readme-fidelity.yml.txt",
    role: "fragment: a run's verification",
    whole: (text) => group(`runs:\n  - id: fidelity\n${indent(text, 4)}`),
    check: ({ targets: [only] }) => expect(only?.runs[0]?.verify).toMatchObject({ maxDeltaNll: 0.05, split: "auto" }),
  },
  {
    file: "readme-eval.yml.txt",
    role: "fragment: a group's runs",
    whole: group,
    check: ({ targets: [only] }) =>
      expect(only?.runs[0]?.verify).toMatchObject({ cases: [{ answer: 4 }, { answer: "Paris" }] }),
  },
  {
    file: "readme-benchmarks.yml.txt",
    role: "fragment: groups, without data; runs left out",
    whole: (text) => `version: 1\nmodel: ${model}\n${completed(text, "  data: data.npy")}`,
    check: ({ targets: [only] }) => expect(only?.benchmarks).toHaveLength(3),
  },
  { file: "readme-custom-suite.yml.txt", role: "a suite of prompts, a kind of file of its own", whole: null },
  { file: "labcore-result.json.txt", role: "what another tool's benchmark writes, no manifest", whole: null },
];

it("lists every block", () => {
  expect(readdirSync(folder).sort()).toEqual(blocks.map(({ file }) => file).sort());
});

describe.each(blocks.filter(({ whole }) => whole !== null))("$file ($role)", ({ file, whole, check }) => {
  it("is accepted as written", () => {
    const result = parseManifest(whole?.(read(file)) ?? "", { file: file.replace(/\.txt$/, "") });
    expect(result.issues).toEqual([]);
    if (result.ok) check?.(result.plan);
  });
});

describe.each(blocks.filter(({ whole }) => whole === null))("$file ($role)", ({ file }) => {
  it("is refused as a manifest, at its lines", () => {
    const { ok, issues } = parseManifest(read(file), { file: file.replace(/\.txt$/, "") });
    expect(ok).toBe(false);
    for (const issue of issues) expect(issue.line).toBeGreaterThan(0);
  });
});

it("dots that an example leaves in are explained", () => {
  const { issues } = parseManifest(targets(read("guide-overview.yml.txt")).replace("runs: []", "runs: [...]"));
  expect(issues.map(({ message }) => message)).toEqual([
    'expected a mapping, found "..."; the dots stand for something that was left out',
  ]);
});
