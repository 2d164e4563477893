// Which config.json means what: the families' own keys and defaults, as transformers 5.23 reads them, and the way back.

import type { AttentionLayerConfig, ModelConfig, NodeConfig } from "@caramba/config";
import type { Json } from "@caramba/files";
import { describe, expect, it } from "vitest";
import { hfConfigToCaramba } from "./hf-config.ts";
import { carambaToHfConfig } from "./hf-export-config.ts";
import { decoderBlocks } from "./hf-names.ts";

type Keys = Record<string, Json>;
const base = {
  hidden_size: 64,
  intermediate_size: 96,
  num_attention_heads: 4,
  num_hidden_layers: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
};
const read = (keys: Keys): ModelConfig => hfConfigToCaramba({ ...base, ...keys }).model;
const attentions = (model: ModelConfig): AttentionLayerConfig[] =>
  decoderBlocks(model).blocks.map(({ attention }) => attention);
const windows = (model: ModelConfig): (number | null)[] => attentions(model).map(({ localWindow }) => localWindow);

describe("what an absent key means", () => {
  it.each([
    ["llama", { context: 2048, kv: 4, tied: false, base: 10000, window: null }],
    ["mistral", { context: 131072, kv: 8, tied: false, base: 10000, window: 4096 }],
    ["qwen2", { context: 32768, kv: 32, tied: false, base: 10000, window: null }],
    ["qwen3", { context: 32768, kv: 32, tied: false, base: 10000, window: null }],
    ["smollm3", { context: 32768, kv: 4, tied: true, base: 2e6, window: null }],
  ])("in %s", (model_type, expected) => {
    const { num_key_value_heads: _, ...rest } = base;
    const heads = model_type === "llama" ? 4 : 32;
    const { model } = hfConfigToCaramba({ ...rest, model_type, num_attention_heads: heads });
    const [first] = attentions(model);
    expect({
      context: model.blockSize,
      kv: first?.nKvHeads,
      tied: model.tiedEmbeddings,
      base: first?.ropeBase,
      window: first?.localWindow,
    }).toEqual(expected);
    expect(decoderBlocks(model).eps).toBe(1e-6);
    // Qwen3's heads are 128 wide whatever the model's width.
    expect(first?.attnDim).toBe(model_type === "qwen3" ? 32 * 128 : null);
    const null_kv = hfConfigToCaramba({ ...rest, model_type, num_key_value_heads: null }).model;
    expect(attentions(null_kv)[0]?.nKvHeads).toBe(4);
  });
});

describe("biases and norms", () => {
  const parts = (keys: Keys): unknown => {
    const [block] = decoderBlocks(read(keys)).blocks;
    if (!block) throw new Error("no block");
    const { bias, outBias, qkNorm } = block.attention;
    return [bias, outBias ?? bias, qkNorm, block.mlp.bias];
  };
  it.each<[Keys, boolean[]]>([
    [{ model_type: "llama" }, [false, false, false, false]],
    [{ model_type: "llama", attention_bias: true, mlp_bias: true }, [true, true, false, true]],
    [{ model_type: "qwen2" }, [true, false, false, false]],
    [{ model_type: "qwen3" }, [false, false, true, false]],
    [{ model_type: "qwen3", attention_bias: true }, [true, true, true, false]],
    [{ model_type: "smollm3", attention_bias: true, mlp_bias: true }, [true, true, false, true]],
  ])("%j", (keys, expected) => expect(parts(keys)).toEqual(expected));

  it("keys of other families are passed over as transformers does, and listed", () => {
    for (const [model_type, key] of [
      ["qwen2", "attention_bias"],
      ["mistral", "mlp_bias"],
      ["llama", "sliding_window"],
    ] as const) {
      const value = key === "sliding_window" ? 7 : true;
      const { ignored } = hfConfigToCaramba({ ...base, model_type, [key]: value });
      expect(ignored).toEqual([key]);
    }
  });

  it("q/k norm has the model's eps", () => {
    const [first] = attentions(read({ model_type: "qwen3", rms_norm_eps: 0.25 }));
    expect(first).toMatchObject({ qkNorm: true, qkNormEps: 0.25 });
  });
});

describe("windows", () => {
  const qwen = { model_type: "qwen2", use_sliding_window: true, sliding_window: 7 };
  const mixed = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"];
  it.each<[string, Keys, (number | null)[]]>([
    ["from max_window_layers on", { ...qwen, max_window_layers: 3 }, [null, null, null, 7]],
    ["by default of 28 layers, nowhere", qwen, [null, null, null, null]],
    ["in all", { ...qwen, max_window_layers: 0 }, [7, 7, 7, 7]],
    ["where layer_types say", { ...qwen, layer_types: mixed }, [null, 7, null, 7]],
    ["nowhere unless used", { ...qwen, use_sliding_window: false, max_window_layers: 0 }, [null, null, null, null]],
    ["mistral: everywhere", { model_type: "mistral", sliding_window: 5 }, [5, 5, 5, 5]],
    [
      "smollm3: where nothing is rotated",
      { model_type: "smollm3", use_sliding_window: true, sliding_window: 5, no_rope_layer_interval: 2 },
      [null, 5, null, 5],
    ],
  ])("%s", (_, keys, expected) => expect(windows(read(keys))).toEqual(expected));

  it.each<[Keys, RegExp]>([
    [{ ...qwen, use_sliding_window: false, layer_types: mixed }, /sliding_attention, but use_sliding_window is false/],
    [{ ...qwen, layer_types: ["full_attention"] }, /layer_types has 1 entries, num_hidden_layers is 4/],
    [{ ...qwen, layer_types: ["chunked_attention"] }, /layer_types "chunked_attention" is not supported/],
    [{ model_type: "mistral", layer_types: mixed }, /layer_types .* beside sliding_window 4096/],
    [{ model_type: "llama", layer_types: mixed }, /layer_types with sliding_attention in a llama/],
    [{ model_type: "smollm3", no_rope_layers: [1, 0] }, /no_rope_layers is \[1,0\], expected 4 times 0 or 1/],
    [{ model_type: "llama", no_rope_layers: [1, 0, 1, 1] }, /no_rope_layers \[1,0,1,1\] is not supported/],
    [{ architectures: ["LlamaForSequenceClassification"] }, /architecture "LlamaForSequenceClassification"/],
    [{ model_type: "llama", attn_logit_softcapping: 50 }, /attn_logit_softcapping 50 is not supported/],
    [{ model_type: "llama", rope_parameters: { rope_type: "yarn", factor: 4 } }, /rope_parameters of type "yarn"/],
    [
      { model_type: "llama", rope_parameters: { rope_type: "linear", factor: 4, attention_factor: 2 } },
      /rope_parameters.attention_factor with rope_type "linear"/,
    ],
    [
      { model_type: "llama", rope_parameters: { rope_type: "linear", factor: 4, partial_rotary_factor: 0.5 } },
      /rope_parameters.partial_rotary_factor 0.5 is not supported/,
    ],
    [
      { model_type: "llama", rope_parameters: { factor: 4 }, rope_scaling: { factor: 2 } },
      /rope_parameters is .*, but rope_scaling/,
    ],
    [{}, /model_type is missing/],
  ])("refuses %j", (keys, message) => expect(() => read(keys)).toThrow(message));
});

it("smollm3 rotates all but every fourth layer, or what no_rope_layers says", () => {
  const rotated = (keys: Keys): boolean[] =>
    attentions(read({ model_type: "smollm3", ...keys })).map((attention) => attention.ropeEnabled);
  expect(rotated({})).toEqual([true, true, true, false]);
  expect(rotated({ no_rope_layers: [0, 1, 0, 1] })).toEqual([false, true, false, true]);
});

it("a file without model_type is known by its class", () => {
  expect(read({ architectures: ["Qwen2ForCausalLM"] })).toEqual(read({ model_type: "qwen2" }));
});

it("other activations make another gated layer", () => {
  for (const [hidden_act, activation] of [
    ["gelu", "gelu"],
    ["gelu_pytorch_tanh", "gelu_tanh"],
    ["relu", "relu"],
  ]) {
    const { model } = hfConfigToCaramba({ ...base, model_type: "llama", hidden_act: hidden_act as string });
    expect(decoderBlocks(model).blocks[0]?.mlp).toMatchObject({ type: "GLULayer", activation });
    expect(carambaToHfConfig(model, "float32")["hidden_act"]).toBe(hidden_act);
  }
});

describe("export says the same in the first family that can", () => {
  const linear = { rope_type: "linear", factor: 2 };
  it.each<[Keys, string]>([
    [{ model_type: "llama", rope_scaling: linear }, "llama"],
    [{ model_type: "llama", attention_bias: true, mlp_bias: true, head_dim: 24 }, "llama"],
    [{ model_type: "mistral", sliding_window: 7 }, "mistral"],
    [{ model_type: "mistral", sliding_window: null }, "llama"],
    [{ model_type: "qwen2", tie_word_embeddings: true }, "qwen2"],
    [{ model_type: "qwen2", use_sliding_window: true, sliding_window: 7, max_window_layers: 2 }, "qwen2"],
    [{ model_type: "qwen3", head_dim: 32 }, "qwen3"],
    [{ model_type: "qwen3", attention_bias: true, use_sliding_window: true, max_window_layers: 1 }, "qwen3"],
    [{ model_type: "smollm3", tie_word_embeddings: false, rope_scaling: linear }, "smollm3"],
    [{ model_type: "smollm3", no_rope_layers: [1, 1, 1, 1] }, "llama"],
  ])("%j: %s", (keys, family) => {
    const model = read(keys);
    const written = carambaToHfConfig(model, "float32");
    expect(written["model_type"]).toBe(family);
    expect(hfConfigToCaramba(written as Json).model).toEqual(model);
    expect(hfConfigToCaramba(written as Json).ignored.toSorted()).toEqual(
      ["bos_token_id", "eos_token_id", "initializer_range", "pad_token_id", "torch_dtype", "use_cache"]
        .concat(family === "llama" ? ["pretraining_tp"] : [])
        .sort(),
    );
  });

  it("every option of decoupled attention in caramba_dba", () => {
    const model = read({ model_type: "llama", head_dim: 16, rope_scaling: linear });
    const edit = (node: NodeConfig, change: Partial<AttentionLayerConfig>): NodeConfig =>
      "layers" in node
        ? ({ ...node, layers: node.layers.map((child) => edit(child, change)) } as NodeConfig)
        : node.type === "AttentionLayer"
          ? { ...node, ...change }
          : node;
    const variants: Partial<AttentionLayerConfig>[] = [
      {},
      { attnDim: 128, localWindow: 5, decoupledGate: true, decoupledGateDynamic: true },
      { nullAttn: true, learnedTemp: true, qkNorm: true, qkNormEps: 0.5, bias: true, outBias: false, ropeDim: 4 },
      { ropeEnabled: false, ropeScaling: null, isCausal: false, dropoutP: 0.5 },
      { tieQk: true, nKvHeads: 4, ropeSemantic: true },
    ];
    for (const change of variants) {
      const decoupled = { mode: "decoupled" as const, semDim: 16, geoDim: 32, ...change };
      const student: ModelConfig = {
        ...model,
        topology: edit(model.topology, decoupled) as ModelConfig["topology"],
      };
      const written = carambaToHfConfig(student, "float32");
      expect(written["architectures"]).toEqual(["CarambaDbaForCausalLM"]);
      expect(hfConfigToCaramba(written as Json).model).toEqual(student);
    }
  });
});
