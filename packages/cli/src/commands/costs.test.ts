// The numbers of a plan against closed forms written out by hand, and the memory of a step against what one takes.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Plan, parseManifestOrThrow, presets, resolvedManifest } from "@caramba/config";
import { ByteTokenizer, collectText, prepareTokens } from "@caramba/data";
import { describe, expect, it } from "vitest";
import { spawnText } from "../../test-support/run-cli.ts";
import { type TargetCosts, targetCosts } from "./costs.ts";

const planOf = (name: string, ...set: string[]): Plan => parseManifestOrThrow(presets[name] ?? "", { set }).plan;

async function costsOf(name: string, target: number, ...set: string[]): Promise<TargetCosts> {
  const found = planOf(name, ...set).targets[target];
  if (!found) throw new Error("no target");
  return targetCosts(found);
}

/** Trained weights, and the few numbers that are held and not trained (rotation frequencies). */
function expectWeights(bytes: number | undefined, trained: number): void {
  expect(bytes).toBeGreaterThanOrEqual(trained);
  expect(bytes).toBeLessThan(trained + 1024);
}

/** Widths of an arm: queries, keys and values of all heads. Model: width 128, 2 layers, feed-forward 256, 257 ids. */
const arms = {
  baseline: { q: 128, k: 128, v: 128, attention: 4 * 128 * 128, scores: 128, mix: 128 },
  gqa: { q: 128, k: 64, v: 64, attention: 2 * 128 * 128 + 2 * 64 * 128, scores: 128, mix: 128 },
  bottleneck: { q: 64, k: 64, v: 64, attention: 4 * 64 * 128, scores: 64, mix: 64 },
  decoupled: { q: 48, k: 48, v: 64, attention: 2 * 48 * 128 + 2 * 64 * 128, scores: 48, mix: 64 },
} as const;

it("states of recurrent layers are counted per sequence, and twice where memory is", async () => {
  const layers = [
    "{type: SSMLayer, d_model: 128}",
    "{type: CyclicTopology, iterations: 3, layers: [{type: RNNLayer, cell: gru, input_size: 128, hidden_size: 128}]}",
  ];
  const costs = await costsOf(
    "tiny_baseline",
    0,
    `targets[0].system.config.model.topology={type: StackedTopology, layers: [${layers.join(", ")}]}`,
    "targets[0].runs[0].expected={}",
  );
  // 256 inner features of 16 states and 3 earlier inputs; three passes of 128.
  const numbers = 256 * (16 + 3) + 3 * 128;
  expect(costs.stateBytes).toBe(4 * numbers);
  expect(costs.kvBytesPerToken.fp16).toBe(0);
  expect(costs.serveBytes.cache).toBe(2 * 4 * numbers);
});

describe.each(Object.entries(arms))("tiny_%s", (name, { k, v, attention, scores, mix }) => {
  it("parameters, arithmetic, cache", async () => {
    const costs = await costsOf(`tiny_${name}`, 0);
    const matrices = 2 * (attention + 3 * 128 * 256) + 257 * 128;
    expect(costs.parameters).toBe(matrices + 5 * 128);
    // A multiply and an add per weight; per layer and token, scores with 128 keys and their mix of 128 values.
    expect(costs.forwardFlopsPerToken).toBe(2 * matrices + 2 * 2 * 128 * (scores + mix));
    const numbers = 2 * (k + v);
    expect(costs.kvBytesPerToken).toEqual({
      fp32: 4 * numbers,
      fp16: 2 * numbers,
      q8_0: (34 / 32) * numbers,
      q4_0: (18 / 32) * numbers,
      nf4: (18 / 32) * numbers,
    });
    expect(costs.serveBytes.cache).toBe(128 * 2 * numbers);
    expectWeights(costs.serveBytes.weights, 4 * costs.parameters);
  });

  it.each([
    ["adamw", 1, 16, 4],
    ["lion", 1, 8, 4],
    ["sgd", 1, 0, 4],
    ["adamw", 4, 16, 12],
  ])("%s with %d batches per step: states and gradients", async (optimizer, micros, states, gradients) => {
    const train = "targets[0].runs[0].train";
    const set = [`${train}.optimizer=${optimizer}`, `${train}.gradient_accumulation_steps=${micros}`];
    const { parameters, runs } = await costsOf(`tiny_${name}`, 0, ...set);
    const [run] = runs;
    expect(run).toMatchObject({ steps: 300, tokens: 300 * micros * 8 * 128, lr: 1e-3 });
    const memory = run?.memory;
    expectWeights(memory?.weights, 2 * 4 * parameters);
    expect(memory).toMatchObject({
      teacher: 0,
      gradients: gradients * parameters,
      optimizer: states * parameters,
      cache: 0,
    });
    const parts = [memory?.weights, memory?.gradients, memory?.optimizer, memory?.activations].map(Number);
    expect(memory?.total).toBe(parts.reduce((a, b) => a + b));
    // At least what the backward pass reads: logits and their gradient, and each layer's feed-forward.
    expect(memory?.activations).toBeGreaterThan(4 * 8 * 128 * (2 * 257 + 2 * 4 * 256));
  });
});

it("blockwise: one layer is trained, teacher and pool of batches are held", async () => {
  const set = ["targets.dba.runs[0].train.blockwise_teacher_cache_max_size=5"];
  const { parameters, runs } = await costsOf("quickstart", 1, ...set);
  const target = planOf("quickstart", ...set).targets[1];
  const train = target?.runs[0]?.train;
  const layer = target?.model.topology;
  const found = JSON.stringify(layer).match(/"semDim":(\d+),"geoDim":(\d+)/);
  const [sem, geo] = [Number(found?.[1]), Number(found?.[2])];
  const text = JSON.stringify(layer);
  const value = (key: string): number => Number(text.match(new RegExp(`"${key}":(\\d+)`))?.[1]);
  const [d, heads, kv, attn] = [value("dModel"), value("nHeads"), value("nKvHeads"), value("attnDim")];
  const share = kv / heads;
  const gates = text.includes('"decoupledGate":true') ? heads : 0;
  const one = d * ((sem + geo) * (1 + share) + attn * (1 + share)) + gates;
  const pool = 5 * 2 * (train?.batchSize ?? 0) * (train?.blockSize ?? 0) * d * 4;
  expectWeights(runs[0]?.memory?.weights, 4 * (parameters + one));
  expectWeights(runs[0]?.memory?.teacher, 4 * (await costsOf("quickstart", 0)).parameters);
  expect(runs[0]?.memory).toMatchObject({
    gradients: 4 * one,
    optimizer: 16 * one,
    cache: pool,
  });
});

it("a step takes what the plan says, within a factor of two", async () => {
  const folder = await mkdtemp(join(tmpdir(), "caramba-peak-"));
  const tokens = join(folder, "tokens.npy");
  const documents = await collectText({ inputs: [fileURLToPath(new URL("../../../../docs", import.meta.url))] });
  await prepareTokens({ documents, tokenizer: new ByteTokenizer(), output: tokens });
  const manifest = (batch: number, block: number): Plan =>
    planOf(
      "tiny_baseline",
      `targets[0].data.config.path=${JSON.stringify(tokens)}`,
      `targets[0].data.config.block_size=${block}`,
      "targets[0].runs[0].steps=2",
      `targets[0].runs[0].train.batch_size=${batch}`,
      `targets[0].runs[0].train.block_size=${block}`,
      `targets[0].runs[0].id=train${batch}`,
      "targets[0].benchmarks=[]",
      "defaults.logging.eval_iters=0",
    );
  const large = manifest(16, 256);
  const texts = [manifest(1, 8), large].map((plan) => JSON.stringify(resolvedManifest(plan)));
  const script = fileURLToPath(new URL("../../test-support/measure-peak.mjs", import.meta.url));
  const { code, out, err } = await spawnText(process.execPath, [script, ...texts, folder]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  const planned = large.targets[0] && (await targetCosts(large.targets[0])).runs[0]?.memory?.total;
  const ratio = Number(out) / (planned ?? 0);
  expect(ratio).toBeGreaterThan(0.5);
  expect(ratio).toBeLessThan(2);
  await rm(folder, { recursive: true });
});
