// config.json as published with models of each family, word for word but for their dates, against the numbers of parameters
// that the models are published with, and against what transformers makes of their keys.

import type { AttentionLayerConfig } from "@caramba/config";
import type { Json } from "@caramba/files";
import { describe, expect, it } from "vitest";
import { hfConfigToCaramba } from "./hf-config.ts";
import { decoderBlocks, hfTensors } from "./hf-names.ts";

interface Published {
  readonly config: Record<string, Json>;
  readonly parameters: number;
  readonly attention: Partial<AttentionLayerConfig>;
}

const published: Readonly<Record<string, Published>> = {
  "Llama-2-7b": {
    config: {
      architectures: ["LlamaForCausalLM"],
      bos_token_id: 1,
      eos_token_id: 2,
      hidden_act: "silu",
      hidden_size: 4096,
      initializer_range: 0.02,
      intermediate_size: 11008,
      max_position_embeddings: 4096,
      model_type: "llama",
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 32,
      pretraining_tp: 1,
      rms_norm_eps: 1e-5,
      rope_scaling: null,
      tie_word_embeddings: false,
      torch_dtype: "float16",
      use_cache: true,
      vocab_size: 32000,
    },
    parameters: 6_738_415_616,
    attention: { mode: "standard", ropeBase: 10000, ropeScaling: null, localWindow: null },
  },
  "Mistral-7B-v0.1": {
    config: {
      architectures: ["MistralForCausalLM"],
      bos_token_id: 1,
      eos_token_id: 2,
      hidden_act: "silu",
      hidden_size: 4096,
      initializer_range: 0.02,
      intermediate_size: 14336,
      max_position_embeddings: 32768,
      model_type: "mistral",
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 10000.0,
      sliding_window: 4096,
      tie_word_embeddings: false,
      torch_dtype: "bfloat16",
      use_cache: true,
      vocab_size: 32000,
    },
    parameters: 7_241_732_096,
    attention: { mode: "gqa", nKvHeads: 8, localWindow: 4096, bias: false },
  },
  "Qwen2.5-0.5B": {
    config: {
      architectures: ["Qwen2ForCausalLM"],
      attention_dropout: 0.0,
      bos_token_id: 151643,
      eos_token_id: 151643,
      hidden_act: "silu",
      hidden_size: 896,
      initializer_range: 0.02,
      intermediate_size: 4864,
      max_position_embeddings: 32768,
      max_window_layers: 24,
      model_type: "qwen2",
      num_attention_heads: 14,
      num_hidden_layers: 24,
      num_key_value_heads: 2,
      rms_norm_eps: 1e-6,
      rope_theta: 1000000.0,
      sliding_window: 32768,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      use_cache: true,
      use_mrope: false,
      use_sliding_window: false,
      vocab_size: 151936,
    },
    parameters: 494_032_768,
    attention: { bias: true, outBias: false, localWindow: null, ropeBase: 1e6 },
  },
  "Qwen3-0.6B": {
    config: {
      architectures: ["Qwen3ForCausalLM"],
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 151643,
      eos_token_id: 151645,
      head_dim: 128,
      hidden_act: "silu",
      hidden_size: 1024,
      initializer_range: 0.02,
      intermediate_size: 3072,
      max_position_embeddings: 40960,
      max_window_layers: 28,
      model_type: "qwen3",
      num_attention_heads: 16,
      num_hidden_layers: 28,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 1000000,
      sliding_window: null,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      use_cache: true,
      use_sliding_window: false,
      vocab_size: 151936,
    },
    parameters: 596_049_920,
    attention: { attnDim: 2048, qkNorm: true, qkNormEps: 1e-6, bias: false },
  },
  "SmolLM2-135M": {
    config: {
      architectures: ["LlamaForCausalLM"],
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 0,
      eos_token_id: 0,
      hidden_act: "silu",
      hidden_size: 576,
      initializer_range: 0.041666666666666664,
      intermediate_size: 1536,
      is_llama_config: true,
      max_position_embeddings: 8192,
      model_type: "llama",
      num_attention_heads: 9,
      num_hidden_layers: 30,
      num_key_value_heads: 3,
      pretraining_tp: 1,
      rms_norm_eps: 1e-5,
      rope_interleaved: false,
      rope_scaling: null,
      rope_theta: 100000,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      use_cache: true,
      vocab_size: 49152,
    },
    parameters: 134_515_008,
    attention: { mode: "gqa", ropeBase: 100000, bias: false },
  },
  "SmolLM3-3B": {
    config: {
      architectures: ["SmolLM3ForCausalLM"],
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 128000,
      eos_token_id: 128012,
      hidden_act: "silu",
      hidden_size: 2048,
      initializer_range: 0.02,
      intermediate_size: 11008,
      layer_types: Array.from({ length: 36 }, () => "full_attention"),
      max_position_embeddings: 65536,
      max_window_layers: 28,
      mlp_bias: false,
      model_type: "smollm3",
      no_rope_layer_interval: 4,
      no_rope_layers: Array.from({ length: 36 }, (_, i) => (i % 4 === 3 ? 0 : 1)),
      num_attention_heads: 16,
      num_hidden_layers: 36,
      num_key_value_heads: 4,
      pad_token_id: 128004,
      pretraining_tp: 2,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 5000000.0,
      sliding_window: null,
      torch_dtype: "bfloat16",
      use_cache: true,
      use_sliding_window: false,
      vocab_size: 128256,
    },
    parameters: 3_075_098_624,
    attention: { ropeEnabled: true, ropeBase: 5e6, localWindow: null },
  },
};

/** What none of them computes anything with. */
const harmless = [
  "bos_token_id",
  "eos_token_id",
  "initializer_range",
  "is_llama_config",
  "pad_token_id",
  "pretraining_tp",
  "torch_dtype",
  "use_cache",
  "use_mrope",
];

describe.each(Object.entries(published))("%s", (name, { config, parameters, attention }) => {
  it("has as many parameters as published, and no key that is not understood", () => {
    const { model, ignored } = hfConfigToCaramba(config, name);
    const sizes = hfTensors(model).map(({ shape }) => shape.reduce((a, b) => a * b, 1));
    expect(sizes.reduce((a, b) => a + b, 0)).toBe(parameters);
    expect(ignored.filter((key) => !harmless.includes(key))).toEqual([]);
    const { blocks } = decoderBlocks(model);
    expect(blocks).toHaveLength(config["num_hidden_layers"] as number);
    expect(blocks[0]?.attention).toMatchObject(attention);
    const unrotated = blocks.filter((block) => !block.attention.ropeEnabled).length;
    expect(unrotated).toBe(name === "SmolLM3-3B" ? 9 : 0);
  });
});
