/**
 * The manifests and fragments that the guide and the README show, written from their documented keys: whole manifests
 * as they stand, fragments inside the smallest whole manifest.
 */
import { describe, expect, it } from "vitest";
import { parseManifestOrThrow } from "./parse.ts";
import type { Target } from "./plan.ts";

const indent = (text: string, by: number): string => text.trim().replace(/^/gm, " ".repeat(by));

/** A version 2 manifest with these target keys. */
function target(keys: string): Target {
  const text = `version: 2
defaults: {}
targets:
  - type: experiment
    name: paper
    data: {ref: dataset.tokens, config: {path: data.npy, block_size: 64}}
    system: {ref: system.language_model, config: {model: {topology: {type: StackedTopology, layers: [{type: DropoutLayer}]}}}}
${indent(keys, 4)}
`;
  const [only] = parseManifestOrThrow(text).plan.targets;
  if (only === undefined) throw new Error("no target");
  return only;
}

/** An older manifest with this run. */
function run(keys: string): Target["runs"][number] {
  const text = `version: 1
defaults: {}
model: {topology: {type: StackedTopology, layers: [{type: DropoutLayer}]}}
groups:
  - name: g
    data: data.npy
    runs:
${indent(keys, 6)}
`;
  const first = parseManifestOrThrow(text).plan.targets[0]?.runs[0];
  if (first === undefined) throw new Error("no run");
  return first;
}

describe("the benchmarking guide", () => {
  it("perplexity, latency and memory with every field", () => {
    const { benchmarks } = target(`
benchmarks:
  - id: perplexity
    config:
      type: perplexity
      dataset: fineweb_100m.npy
      block_size: 2048
      batch_size: 1
      num_batches: 100
    models: [teacher, student]
    repeats: 1
  - id: latency
    config:
      type: latency
      prompt_lengths: [128, 512, 1024, 2048]
      generation_lengths: [64, 128, 256]
      batch_sizes: [1]
      warmup_runs: 3
      timed_runs: 10
      use_cache: true
      cache_kind: fp16
    models: [teacher, student]
  - id: memory
    config:
      type: memory
      sequence_lengths: [512, 1024, 2048, 4096]
      batch_sizes: [1]
      measure_peak: true
      measure_kvcache: true
      quantization_modes: [fp16, q8, q4]
    models: [teacher, student]
`);
    expect(benchmarks.map((spec) => spec.config)).toMatchObject([
      { dataset: "fineweb_100m.npy", blockSize: 2048, batchSize: 1, numBatches: 100, stride: null },
      {
        generationLengths: [64, 128, 256],
        batchSizes: [1],
        warmupRuns: 3,
        timedRuns: 10,
        useCache: true,
        cacheKind: "fp16",
      },
      { measurePeak: true, measureKvcache: true, quantizationModes: ["fp16", "q8_0", "q4_0"] },
    ]);
  });

  it("documented defaults", () => {
    const { benchmarks } = target(`
benchmarks:
  - {id: p, config: {type: perplexity}}
  - {id: l, config: {type: latency}}
  - {id: m, config: {type: memory}}
`);
    expect(benchmarks).toMatchObject([
      {
        repeats: 1,
        models: ["teacher", "student"],
        config: { blockSize: 2048, batchSize: 1, numBatches: 100, dataset: "data.npy" },
      },
      { config: { batchSizes: [1], warmupRuns: 3, timedRuns: 10, useCache: true, cacheKind: "fp16" } },
      { config: { batchSizes: [1], measurePeak: true, measureKvcache: true, quantizationModes: ["fp16"] } },
    ]);
  });

  it("a run by its id alone, repeats, the student only", () => {
    const { runs, benchmarks } = target(`
runs:
  - id: train
    # ... training config ...
benchmarks:
  - id: latency
    config:
      type: latency
      prompt_lengths: [128, 512, 1024]
      generation_lengths: [64, 128]
    models: [student]
    repeats: 3  # Average over 3 runs
`);
    expect(runs).toMatchObject([{ id: "train", mode: "train", steps: 0, train: null }]);
    expect(benchmarks).toMatchObject([{ models: ["student"], repeats: 3 }]);
  });

  it("benchmark-only targets with a checkpoint", () => {
    const only = target(`
runs: []  # No training runs
benchmarks:
  - id: perplexity
    config:
      type: perplexity
      checkpoint: path/to/checkpoint.pt
`);
    expect(only.runs).toEqual([]);
    expect(only.benchmarks[0]?.config).toMatchObject({ checkpoint: "path/to/checkpoint.pt", dataset: "data.npy" });
  });
});

describe("the README", () => {
  const readme = `
version: 1
name: my_experiment
vars:
  d_model: 2048
  n_heads: 32
  n_layers: 16
defaults:
  tokenizer: llama
  val_frac: 0.05
  instrument: rich
  wandb: true
  wandb_project: "my-project"
  eval_iters: 50
  save_every: 500
model:
  type: TransformerModel
  topology:
    type: StackedTopology
    layers:
      - type: NestedTopology
        repeat: "\${n_layers}"  # transformer blocks
        layers:
          - type: ResidualTopology
            layers:
              - type: RMSNormLayer
                d_model: 2048
              - type: AttentionLayer
                d_model: "\${d_model}"
                n_heads: "\${n_heads}"
          - type: ResidualTopology
            layers:
              - type: RMSNormLayer
                d_model: 2048
              - type: SwiGLULayer
                d_model: 2048
                d_ff: 8192
      - type: RMSNormLayer
        d_model: 2048
groups:
  - name: paper
    description: upcycle
    data: fineweb_100m.npy
    runs:
      - id: blockwise
        mode: train
        exp: paper
        seed: 42
        steps: 500
        expected: {}
        train: {phase: blockwise, batch_size: 1, block_size: 2048, lr: 0.0001}
    benchmarks:
      - id: perplexity
        config:
          type: perplexity
          dataset: "fineweb_100m.npy"
          block_size: 2048
          num_batches: 100
        models: ["teacher", "student"]
`;

  it("a manifest of the older form; flat defaults take effect everywhere", () => {
    const { plan } = parseManifestOrThrow(readme);
    expect(plan.defaults).toMatchObject({
      tokenizer: "llama",
      valFrac: 0.05,
      wandb: true,
      wandbProject: "my-project",
      saveEvery: 500,
    });
    expect(plan.targets[0]).toMatchObject({
      name: "paper",
      trainer: { type: "upcycle" },
      data: { path: "fineweb_100m.npy", tokenizer: "llama", valFrac: 0.05 },
      runs: [{ id: "blockwise", exp: "paper", seed: 42, steps: 500, train: { saveEvery: 500, evalIters: 50 } }],
    });
  });

  it("nested defaults take the same effect", () => {
    const nested = readme.replace(
      /defaults:[\s\S]*?model:/,
      `defaults:
  data: {tokenizer: llama, val_frac: 0.05}
  logging: {instrument: rich, wandb: true, wandb_project: "my-project", eval_iters: 50}
  runtime: {save_every: 500}
model:`,
    );
    expect(parseManifestOrThrow(nested).plan).toEqual(parseManifestOrThrow(readme).plan);
  });

  it("compare, fidelity and eval verification", () => {
    expect(
      run(`
- id: blockwise
  mode: train
  # ... training config ...
  verify:
    type: compare
    batches: 2
    attention:
      max_mean_l1: 0.05   # Mean L1 across attention outputs
      max_max_l1: 0.25    # Max L1 (worst-case divergence)
    logits:
      max_mean_l1: 0.05
      max_max_l1: 0.25
    fail_fast: false
`).verify,
    ).toMatchObject({ batches: 2, attention: { maxMeanL1: 0.05, maxMaxL1: 0.25 }, failFast: false });
    expect(
      run(`
- id: f
  verify:
    type: fidelity
    batches: 5
    split: auto          # auto|train|val
    max_delta_nll: 0.05
    max_ppl_ratio: 1.05
    fail_fast: false
`).verify,
    ).toMatchObject({ type: "fidelity", split: "auto", maxDeltaNll: 0.05, maxPplRatio: 1.05 });
    expect(
      run(`
- id: eval_check
  verify:
    type: eval
    tokenizer:
      type: tiktoken
      encoding: cl100k_base
    max_new_tokens: 32
    context_window: 2048
    cases:
      - id: math_simple
        prompt: "What is 2 + 2? Answer with just the number:"
        kind: int_greedy
        answer: 4
      - id: capital_france
        prompt: "The capital of France is"
        kind: choice_logprob
        choices: ["Paris", "London", "Berlin", "Madrid"]
        answer: "Paris"
    thresholds:
      min_student_accuracy: 0.8
      max_accuracy_drop: 0.1
`).verify,
    ).toMatchObject({
      type: "eval",
      contextWindow: 2048,
      cases: [{ answer: 4 }, { answer: "Paris" }],
      failFast: false,
    });
  });

  it("kvcache verification", () => {
    expect(
      run(`
- id: k
  verify:
    type: kvcache
    n_layers: 16
    batch_size: 1
    max_seq_len: 2048
    teacher: {k: fp16, v: fp16}
    student: {k_sem: q4, k_geo: {kind: q8_0, qblock: 32}, v: q4_0}
    min_reduction_ratio: 2
`).verify,
    ).toMatchObject({
      teacher: { k: { kind: "fp16" } },
      student: { kSem: { kind: "q4_0" }, kGeo: { kind: "q8_0", qblock: 32, residualLen: 0 } },
      minReductionRatio: 2,
    });
  });
});
