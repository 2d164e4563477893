// Manifests of models in every topology, run to their ends: teacher, surgery, both kinds of distillation, verifications,
// benchmarks and sample texts. What a model cannot give does not end its run after the training.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByteTokenizer, prepareTokens } from "@caramba/data";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ExperimentEvent } from "./events.ts";
import { runExperiment } from "./run-experiment.ts";

const folder = await mkdtemp(join(tmpdir(), "caramba-topologies-"));
const path = join(folder, "tokens.npy");
beforeAll(async () => {
  const text = "The path of a weight names the topology that it is in. ".repeat(40);
  await prepareTokens({ documents: [{ name: "text", text }], tokenizer: new ByteTokenizer(), output: path });
});
afterAll(() => rm(folder, { recursive: true }));

const d = 16;
const norm = { type: "RMSNormLayer", d_model: d };
const residual = (...layers: object[]) => ({ type: "ResidualTopology", layers: [norm, ...layers] });
const target = (name: string, layers: object[], rest: object) => ({
  type: "experiment",
  name,
  description: name,
  task: "task.language_modeling",
  data: { ref: "dataset.tokens", config: { path, block_size: 16 } },
  system: {
    ref: "system.language_model",
    config: {
      model: {
        type: "TransformerModel",
        embedder: { type: "token", vocab_size: 257, d_model: d },
        topology: { type: "StackedTopology", layers: [...layers, norm] },
      },
    },
  },
  objective: "objective.next_token_ce",
  ...rest,
});

async function run(targets: object[]) {
  const manifest = JSON.stringify({
    version: 2,
    name: "shapes",
    defaults: { data: { tokenizer: "byte", val_frac: 0.1 } },
    targets,
  });
  const events: ExperimentEvent[] = [];
  const places = { runsDir: join(folder, "runs"), artifactsDir: join(folder, "artifacts") };
  const onEvent = (event: ExperimentEvent) => void events.push(event);
  return { ...(await runExperiment({ manifest, all: true, device: "onnx:cpu", ...places, onEvent })), events };
}

const steps = { mode: "train", seed: 1, steps: 2 };
const train = { batch_size: 2, block_size: 16, lr: 0.001 };
const benchmarks = [
  { id: "quality", config: { type: "perplexity", block_size: 16, batch_size: 1, num_batches: 2 } },
  {
    id: "speed",
    config: {
      ...{ type: "latency", prompt_lengths: [4], generation_lengths: [3], batch_sizes: [1] },
      ...{ warmup_runs: 0, timed_runs: 1 },
    },
  },
  { id: "size", config: { type: "memory", sequence_lengths: [16], batch_sizes: [1], measure_peak: false } },
];

it("an upcycle through every topology, blockwise and global, verified and measured", async () => {
  const layers = (attention: object) => {
    const look = { type: "AttentionLayer", d_model: d, n_heads: 2, ...attention };
    const { type, ...config } = look;
    return [
      { type: "ResidualTopology", layers: [{ type: "CyclicTopology", iterations: 2, layers: [norm, look] }] },
      {
        type: "GraphTopology",
        nodes: [
          { id: "norm", op: "RMSNormLayer", in: "x", out: "n", config: { d_model: d } },
          { id: "branch", op: "ResidualTopology", in: "n", out: "b", repeat: 2, config: { layers: [look] } },
          { id: "cell", op: "RNNLayer", in: "n", out: "r", config: { input_size: d, hidden_size: d } },
          { id: "sum", op: "add", in: ["b", "r", "x"], out: "y" },
        ],
      },
      residual(
        {
          type: "BranchingTopology",
          layers: [
            { type, ...config },
            { type: "SSMLayer", d_model: d },
          ],
        },
        {
          type: "LinearLayer",
          d_in: 2 * d,
          d_out: d,
        },
      ),
      { type: "RecurrentTopology", layers: [residual({ type: "Conv1dLayer", d_model: d })] },
    ];
  };
  const teacher_ckpt = join(folder, "runs", "shapes", "teacher", "run_standard_final.safetensors");
  const common = { ...train, teacher_ckpt, teacher_sanity_check: false };
  const { status, targets } = await run([
    target("teacher", layers({}), {
      trainer: "trainer.standard",
      runs: [{ id: "run", ...steps, train: { phase: "standard", ...train } }],
    }),
    target("student", layers({ mode: "decoupled", sem_dim: 8, geo_dim: 8 }), {
      trainer: "trainer.upcycle",
      runs: [
        {
          id: "blocks",
          ...steps,
          train: { phase: "blockwise", ...common, blockwise_distill_target: "residual" },
          verify: { type: "kvcache", max_seq_len: 64, n_layers: 5 },
        },
        {
          id: "whole",
          ...steps,
          train: { phase: "global", ...common, kd_weight: 0.5 },
          verify: { type: "compare", batches: 1, attention: { max_mean_l1: 100 } },
        },
      ],
      benchmarks,
    }),
  ]);
  expect(status).toBe("finished");
  const [, student] = targets;
  expect(student?.runs.map(({ outcome }) => outcome.status)).toEqual(["finished", "finished"]);
  expect(student?.verifications.map(({ result }) => result.type)).toEqual(["kvcache", "compare"]);
  // Five calls of attention per pass: keys of 16 + 16, values of 16 numbers in fp16, against 16 and 16.
  const kv = student?.verifications[0]?.result.metrics ?? {};
  const states = 4 * (16 + 16 + 32 * (16 + 3) + 3 * 16);
  expect(kv["teacher_bytes_per_token"]).toBeCloseTo(5 * 2 * 32 + states / 64, 9);
  expect(kv["student_bytes_per_token"]).toBeCloseTo(5 * 2 * (8 + 8 + 16) + states / 64, 9);
  expect(student?.samples.map(({ model }) => model)).toEqual(["teacher", "student"]);
  expect(student?.benchmarks?.entries.every(({ status: found }) => found === "done")).toBe(true);
});

it("a model that reads what is yet to come: measured without a cache, and no sample text, which is said", async () => {
  const both = { type: "RNNLayer", input_size: d, hidden_size: d / 2, bidirectional: true };
  const { status, targets, events } = await run([
    target("both_ways", [residual(both)], {
      trainer: "trainer.standard",
      runs: [{ id: "run", ...steps, train: { phase: "standard", ...train } }],
      benchmarks: benchmarks.map(({ id, config }) => ({
        id,
        config: { ...config, ...(id === "speed" ? { use_cache: false } : {}) },
      })),
    }),
  ]);
  expect(status).toBe("finished");
  expect(targets[0]?.samples).toEqual([]);
  expect(events).toContainEqual({
    type: "note",
    message:
      "the student reads what is yet to come (bidirectional: true at topology.layers[0].layers[1]): no sample text",
  });
});
