// Every layer that a manifest may name, the whole way: text, plan, model, one step of training that reaches every weight,
// and generation whose cache changes nothing. A layer without a row here fails the test; so does a weight that does not
// train and is not said to stand still.
import {
  childrenOf,
  describePlan,
  isTopology,
  layerTypes,
  modelParameters,
  type NodeConfig,
  parseManifest,
  parseManifestOrThrow,
  readsAhead,
  unsupportedSettings,
} from "@caramba/config";
import { MemoryTokens, TokenBatches } from "@caramba/data";
import { argmax, Decoder, generate } from "@caramba/infer";
import { buildModel, cacheBytes, type Model, parameterCount } from "@caramba/model";
import { type Backend, compile, input, openBackend, sym } from "@caramba/tensor";
import { runTraining } from "@caramba/trainer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const [v, d, length] = [17, 16, 14];

/** A layer, or several after one another, in manifest spelling without `type`. */
interface Row {
  readonly keys: string;
  /** Weights that one step leaves as they are, and why. */
  readonly still?: readonly (readonly [string, string])[];
  /** Why it cannot generate: what the refusal says. */
  readonly refused?: RegExp;
}

const row = (keys: string, rest: Omit<Row, "keys"> = {}): Row => ({ keys, ...rest });

const decoupled = "d_model: 16, n_heads: 4, mode: decoupled, sem_dim: 8, geo_dim: 16, attn_dim: 8";
const rows: Readonly<Record<string, readonly Row[]>> = {
  LinearLayer: [row("d_in: 16, d_out: 16"), row("d_in: 16, d_out: 16, bias: false")],
  LayerNormLayer: [row("d_model: 16")],
  RMSNormLayer: [row("d_model: 16"), row("d_model: 16, elementwise_affine: false")],
  DropoutLayer: [row("p: 0.2")],
  SwiGLULayer: [row("d_model: 16, d_ff: 24")],
  GLULayer: ["swiglu", "geglu", "reglu", "glu"].map((name) => row(`d_model: 16, d_ff: 24, activation: ${name}`)),
  DenseLayer: [row("d_in: 16, d_out: 16, normalization: layer_norm, activation: gelu, dropout: 0.1")],
  LoRALinearLayer: [
    row("d_in: 16, d_out: 16, r: 4, dropout: 0.1", { still: [["lora_a", "what it is multiplied by begins at zero"]] }),
  ],
  MoELayer: [
    row("d_model: 16, d_ff: 12, num_experts: 4"),
    row("d_model: 16, d_ff: 12, num_experts: 5, top_k: 1, load_balancing_weight: 0", {
      still: [["router.weight", "a single choice weighs 1 whatever its probability"]],
    }),
  ],
  Conv1dLayer: [row("d_model: 16, kernel_size: 3")],
  Conv2dLayer: [],
  SSMLayer: [row("d_model: 16, d_state: 4"), row("d_model: 16, d_conv: 1, expand: 1, dt_init: constant, bias: true")],
  RNNLayer: [
    row("input_size: 16, hidden_size: 20, proj_size: 16"),
    row("cell: gru, input_size: 16, hidden_size: 16, num_layers: 2, dropout: 0.1"),
    row("cell: rnn_tanh, input_size: 16, hidden_size: 16, bias: false"),
    row("cell: rnn_relu, input_size: 16, hidden_size: 16"),
    row("input_size: 16, hidden_size: 8, bidirectional: true", { refused: /bidirectional/ }),
  ],
  AttentionLayer: [
    row("d_model: 16, n_heads: 4, dropout_p: 0.1"),
    row("d_model: 16, n_heads: 4, mode: gqa, n_kv_heads: 2, bias: true, qk_norm: true, local_window: 5, q_chunk: 3"),
    row("d_model: 16, n_heads: 2, attn_dim: 8, rope_dim: 2, null_attn: true, learned_temp: true"),
    row(
      `${decoupled}, n_kv_heads: 2, decoupled_gate: true, decoupled_gate_dynamic: true, null_attn: true, rope_semantic: true`,
    ),
    row(`${decoupled}, tie_qk: true, rope_scaling: {rope_type: linear, factor: 2}`),
    row("d_model: 16, n_heads: 2, local_window: 2, mem_block: 3, mem_summarize: conv"),
    row("d_model: 16, n_heads: 2, is_causal: false", { refused: /not causal/ }),
  ],
};

const manifest = (type: string, keys: string) => `version: 2
targets:
  - type: experiment
    name: one
    data: {ref: dataset.tokens, config: {path: tokens.npy, block_size: 8}}
    system:
      ref: system.language_model
      config:
        model:
          type: TransformerModel
          embedder: {type: token, vocab_size: ${v}, d_model: ${d}}
          initialization: {scheme: normal, std: 0.3}
          topology:
            type: StackedTopology
            layers:
              - type: ResidualTopology
                layers: [{type: RMSNormLayer, d_model: ${d}}, {type: AttentionLayer, d_model: ${d}, n_heads: 2}]
              - type: ResidualTopology
                layers: [{type: RMSNormLayer, d_model: ${d}}, {type: ${type}, ${keys}}]
              - {type: RMSNormLayer, d_model: ${d}}
    runs: [{id: first, steps: 1, train: {phase: standard, batch_size: 4, block_size: 8, lr: 0.5, optimizer: sgd}}]
`;

const ids = Int32Array.from({ length: 200 }, (_, i) => (i * i * 7 + 3 * i + (i % 5)) % v);

/** Types of all layers of a tree. */
function typesIn(node: NodeConfig): string[] {
  return isTopology(node) ? childrenOf(node).flatMap((child) => typesIn(child.node)) : [node.type];
}

function parsed(type: string, keys: string) {
  const { plan } = parseManifestOrThrow(manifest(type, keys), { check: unsupportedSettings });
  const [target] = plan.targets;
  if (!target) throw new Error("no target");
  return { plan, target, run: target.runs[0] };
}

async function step(backend: Backend, model: Model, { target, run }: ReturnType<typeof parsed>): Promise<number> {
  const losses: number[] = [];
  const train = run?.train;
  if (!run || !train) throw new Error("no run");
  const { blockSize, batchSize } = train;
  await runTraining({
    ...{ model, backend, train, steps: run.steps, seed: run.seed, runId: run.id },
    ...{ teacher: null, validation: null, store: null, signal: null },
    batches: new TokenBatches({ source: new MemoryTokens(ids), blockSize, batchSize, seed: run.seed, vocabSize: v }),
    onEvent: ({ loss }) => losses.push(loss),
  });
  expect(target.model.topology.type).toBe("StackedTopology");
  expect(losses).toHaveLength(1);
  return losses[0] as number;
}

/** Logits of whole passes [T, V], of any length. */
async function wholePass(backend: Backend, model: Model) {
  const y = model.forward(input("ids", [1, sym("T")], "int32"));
  const program = await compile({ outputs: { y } }, { backend });
  const of = async (tokens: ArrayLike<number>): Promise<Float32Array> =>
    (await program.read({ ids: { data: Int32Array.from(tokens), shape: [1, tokens.length] } }))["y"] as Float32Array;
  return { of, dispose: () => program.dispose() };
}

it("there is a row for every layer that a manifest may name", () => {
  expect(Object.keys(rows).sort()).toEqual([...layerTypes()].sort());
  const bare = Object.entries(rows).filter(([, variants]) => variants.length === 0);
  expect(bare.map(([type]) => type)).toEqual(["Conv2dLayer"]);
});

it("a convolution of images has no place among tokens, and a manifest is told so", () => {
  const result = parseManifest(manifest("Conv2dLayer", "in_channels: 3, out_channels: 3, kernel_size: 3"));
  expect(result.ok ? [] : result.issues.map(({ message }) => message)).toEqual([
    expect.stringContaining("expected an input [B, C, H, W] of rank 4, found [B, T, 16]"),
  ]);
});

const cases = Object.entries(rows).flatMap(([type, variants]) => variants.map((one) => [type, one.keys, one] as const));

describe.each(["reference", "onnx:cpu"])("on %s", (device) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openBackend(device, { threads: 1 });
  });
  afterAll(() => backend.close());

  it.each(cases)("%s {%s}", async (type, keys, { still = [], refused }) => {
    const found = parsed(type, keys);
    const { plan, target } = found;
    expect(typesIn(target.model.topology)).toContain(type);
    expect(describePlan(plan).join("\n")).toContain(type);
    const model = buildModel(target.model, { seed: 4 });
    expect(parameterCount(model)).toBe(modelParameters(target.model));

    const before = new Map<string, Float32Array>();
    for (const [path, variable] of model.variables())
      before.set(path, ((await variable.read()) as Float32Array).slice());
    expect(await step(backend, model, found)).toSatisfy(Number.isFinite);
    for (const [path, variable] of model.variables()) {
      const after = (await variable.read()) as Float32Array;
      expect(after.every(Number.isFinite), path).toBe(true);
      // A gradient that cancels out may leave what rounding does.
      const moved = after.some((x, i) => Math.abs(x - (before.get(path)?.[i] ?? 0)) > 1e-6);
      const why = still.find(([name]) => path.endsWith(name))?.[1] ?? (variable.trainable ? undefined : "frozen");
      expect(moved, `${path} ${why ?? "trains"}`).toBe(why === undefined);
    }

    const options = { backend, storage: "fp32", maxSeqLen: length } as const;
    // What plans are told beforehand is what decoding refuses.
    expect(readsAhead(target.model.topology) !== null).toBe(refused !== undefined);
    if (refused) {
      await expect(Decoder.open(model, options)).rejects.toThrow(refused);
      return;
    }
    const whole = await wholePass(backend, model);
    const text = ids.subarray(3, 3 + length);
    const expected = await whole.of(text);
    const decoder = await Decoder.open(model, options);
    decoder.cache.reserve(length);
    expect(decoder.cache.bytes).toBe(cacheBytes(model, length, "fp32"));
    // A prompt, one token, three onto what is cached, and the rest.
    const cuts = [5, 6, 9, 10, length];
    for (const [i, to] of cuts.entries()) {
      const logits = await decoder.feed(text.slice(cuts[i - 1] ?? 0, to));
      logits.forEach((x, k) => {
        expect(x, `after ${to} tokens`).toBeCloseTo(expected[(to - 1) * v + k] as number, 4);
      });
    }
    decoder.dispose();
    const prompt = [...text.subarray(0, 5)];
    const slow = [...prompt];
    while (slow.length < length) slow.push(argmax((await whole.of(slow)).slice(-v)));
    const config = { maxNewTokens: length - 5, maxSeqLen: length, temperature: 0, cacheKind: "fp32" } as const;
    expect(await generate(model, [prompt], { backend, config })).toEqual([slow.slice(5)]);
    whole.dispose();
  });
});
