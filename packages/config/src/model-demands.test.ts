/** What a run, a verification or a benchmark asks of a model that cannot give it is refused at its line. */
import { describe, expect, it } from "vitest";
import { readsAhead } from "./model-demands.ts";
import { parseManifest, parseManifestOrThrow } from "./parse.ts";
import { unsupportedSettings } from "./supported.ts";

const d = 16;
const norm = `{type: RMSNormLayer, d_model: ${d}}`;
const attention = `{type: AttentionLayer, d_model: ${d}, n_heads: 2}`;
const decoupled = `{type: AttentionLayer, d_model: ${d}, n_heads: 2, mode: decoupled, sem_dim: 8, geo_dim: 8}`;
const linear = `{type: LinearLayer, d_in: ${d}, d_out: ${d}}`;
const ahead = `{type: AttentionLayer, d_model: ${d}, n_heads: 2, is_causal: false}`;
const bothWays = `{type: RNNLayer, input_size: ${d}, hidden_size: ${d / 2}, bidirectional: true}`;
const residual = (...layers: string[]): string => `{type: ResidualTopology, layers: [${layers.join(", ")}]}`;
const cyclic = (iterations: number, ...layers: string[]): string =>
  `{type: CyclicTopology, iterations: ${iterations}, layers: [${layers.join(", ")}]}`;
const graph = (type: string, config: string): string =>
  `{type: GraphTopology, nodes: [{id: a, op: ${type}, in: x, out: y, config: ${config}}]}`;

interface Parts {
  readonly layers: readonly string[];
  readonly phase?: "standard" | "blockwise" | "global";
  readonly train?: string;
  readonly verify?: string;
  readonly benchmark?: string;
}

const manifest = ({ layers, phase = "standard", train = "", verify, benchmark }: Parts): string => `version: 2
name: demands
targets:
  - type: experiment
    name: t
    description: a model and what is asked of it
    task: task.language_modeling
    data: { ref: dataset.tokens, config: { path: tokens.npy, block_size: 16 } }
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          embedder: { type: token, vocab_size: 257, d_model: ${d} }
          topology:
            type: StackedTopology
            layers: [${[...layers, norm].join(", ")}]
    objective: objective.next_token_ce
    trainer: trainer.${phase === "standard" ? "standard" : "upcycle"}
    runs:
      - id: run
        mode: train
        seed: 1
        steps: 4
        train: { phase: ${phase}, batch_size: 2, block_size: 16, lr: 0.001${phase === "standard" ? "" : ", teacher_ckpt: t"}${train} }
${verify ? `        verify: ${verify}` : ""}
${benchmark ? `    benchmarks: [{ id: b, config: ${benchmark}, models: [student] }]` : ""}
`;

/** `path | marked text | message` of each mistake. */
const refused = (parts: Parts): string[] => {
  const text = manifest(parts);
  return parseManifest(text, { check: unsupportedSettings }).issues.map(
    ({ path, start, end, message }) =>
      `${path.join(".").replace("targets.0.", "")} | ${text.slice(start, end)} | ${message}`,
  );
};

describe("blockwise distillation", () => {
  const blockwise = (layers: readonly string[], target = "attention") =>
    refused({ layers, phase: "blockwise", train: `, blockwise_distill_target: ${target}` });

  it.each<[string, string[], string, string[]]>([
    ["a layer", [residual(norm, attention)], "attention", []],
    ["a cycle of one pass", [cyclic(1, residual(attention))], "attention", []],
    ["a cycle", [cyclic(2, residual(attention))], "attention", ["topology.layers[0].layers[0].layers[0]", "2 times"]],
    ["a cycle in a cycle", [cyclic(2, cyclic(3, attention))], "attention", ["6 times"]],
    ["a cycle elsewhere", [attention, cyclic(2, linear)], "attention", []],
    [
      "a cycle in a graph",
      [graph("CyclicTopology", `{iterations: 4, layers: [${attention}]}`)],
      "attention",
      ["topology.layers[0].nodes[0].config.layers[0]", "4 times"],
    ],
    ["a branch in a cycle", [cyclic(2, residual(attention))], "residual", ["the branch around", "2 times"]],
    ["a branch around a cycle", [residual(cyclic(2, attention))], "residual", []],
    ["the attention in a branch around a cycle", [residual(cyclic(2, attention))], "attention", ["2 times"]],
  ])("%s", (_, layers, target, words) => {
    const found = blockwise(layers, target);
    expect(found).toHaveLength(words.length > 0 ? 1 : 0);
    if (words.length > 0) expect(found[0]).toMatch(/^runs\.0\.train\.phase \| blockwise \| .*kd_weight/);
    for (const word of words) expect(found[0]).toContain(word);
  });

  it("an attention layer without a branch around it", () => {
    const found = blockwise([residual(attention), attention], "residual");
    expect(found).toEqual([
      expect.stringMatching(/^runs\.0\.train\.blockwise_distill_target \| residual \| .*around topology\.layers\[1\];/),
    ]);
    expect(blockwise([residual(attention)], "residual")).toEqual([]);
  });

  it("a model without attention", () => {
    expect(blockwise([residual(linear)])).toEqual([
      expect.stringMatching(/^runs\.0\.train\.phase \| blockwise \| .*the model has none/),
    ]);
  });

  it("other phases take every topology", () => {
    const layers = [cyclic(2, residual(attention)), attention];
    expect(refused({ layers })).toEqual([]);
    expect(refused({ layers, phase: "global", train: ", kd_weight: 1.0" })).toEqual([]);
  });
});

describe("the kvcache verification", () => {
  const verify = (layers: readonly string[], keys: string) =>
    refused({ layers, phase: "global", verify: `{type: kvcache, max_seq_len: 64, ${keys}}` });

  it("counts calls: copies and passes", () => {
    const layers = [
      attention,
      cyclic(3, attention),
      `{type: NestedTopology, repeat: 2, layers: [${cyclic(2, attention)}]}`,
    ];
    expect(verify(layers, "n_layers: 8")).toEqual([]);
    expect(verify(layers, "n_layers: 4")).toEqual([
      expect.stringMatching(/^runs\.0\.verify\.n_layers \| 4 \| .*\(8\), found 4/),
    ]);
  });

  it("names parts that the student's layers store", () => {
    const policy = (keys: string) => `student: {${keys}}`;
    expect(verify([attention], policy("k: {kind: q8_0}, v: {kind: q4_0}"))).toEqual([]);
    expect(verify([attention, decoupled], policy("k: {}, k_sem: {}, k_geo: {}, v: {}"))).toEqual([]);
    expect(verify([attention], policy("k_sem: {kind: q8_0}"))).toEqual([
      expect.stringMatching(/^runs\.0\.verify\.student\.k_sem \| .*names k_sem, which no layer/),
    ]);
    expect(verify([decoupled], policy("k: {kind: q8_0}"))[0]).toContain("names k, which");
    // A teacher's policy is about layers that the manifest does not show.
    expect(verify([decoupled], "teacher: {k: {kind: q8_0}}")).toEqual([]);
  });
});

it("the compare verification of attention outputs needs attention", () => {
  const verify = (layer: string, sites: string) =>
    refused({ layers: [layer], phase: "global", verify: `{type: compare, batches: 1, ${sites}}` });
  expect(verify(linear, "attention: {max_mean_l1: 1}")).toEqual([
    expect.stringMatching(/^runs\.0\.verify\.attention \| .*the model has none/),
  ]);
  expect(verify(linear, "logits: {max_mean_l1: 1}")).toEqual([]);
  expect(verify(attention, "attention: {max_mean_l1: 1}")).toEqual([]);
});

describe("decoding over a cache", () => {
  const latency = (layer: string, more = "") =>
    refused({ layers: [residual(norm, layer)], benchmark: `{type: latency${more}}` });

  it.each([
    [ahead, "is_causal: false"],
    [bothWays, "bidirectional: true"],
  ])("%s", (layer, why) => {
    expect(latency(layer)).toEqual([
      expect.stringMatching(
        new RegExp(
          `^benchmarks\\.0\\.config\\.type \\| latency \\| .*\\(${why} at topology\\.layers\\[0\\]\\.layers\\[1\\]\\)`,
        ),
      ),
    ]);
    expect(latency(layer, ", use_cache: false")).toEqual([]);
    expect(latency(layer, ", checkpoint: a.safetensors")).toEqual([]);
    expect(refused({ layers: [residual(layer)] })).toEqual([]);
    expect(refused({ layers: [layer], benchmark: "{type: memory}" })).toEqual([
      expect.stringMatching(/^benchmarks\.0\.config\.type \| memory \| .*measure_peak: false/),
    ]);
    for (const keys of ["measure_peak: false", "quantization_modes: [q8]", "checkpoint: a.safetensors"])
      expect(refused({ layers: [layer], benchmark: `{type: memory, ${keys}}` })).toEqual([]);
    const eval_ =
      "{type: eval, tokenizer: {type: byte}, max_new_tokens: 4, cases: [{id: a, prompt: a, kind: exact_match_greedy, answer: b}], thresholds: {min_student_accuracy: 0, max_accuracy_drop: 1}}";
    expect(refused({ layers: [layer], phase: "global", verify: eval_ })).toEqual([
      expect.stringMatching(/^runs\.0\.verify\.type \| eval \| /),
    ]);
    expect(refused({ layers: [attention], phase: "global", verify: eval_ })).toEqual([]);
  });

  it("is open to every layer that reads the past alone", () => {
    for (const layer of [attention, decoupled, linear, `{type: SSMLayer, d_model: ${d}}`])
      expect(latency(layer)).toEqual([]);
    const topology = (layers: readonly string[]) => {
      const [target] = parseManifestOrThrow(manifest({ layers })).plan.targets;
      if (!target) throw new Error("no target");
      return target.model.topology;
    };
    expect(readsAhead(topology([attention]))).toBeNull();
    expect(readsAhead(topology([attention, cyclic(2, bothWays)]))).toBe(
      "bidirectional: true at topology.layers[1].layers[0]",
    );
  });
});
