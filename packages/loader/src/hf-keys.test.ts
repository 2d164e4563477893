// Every key that transformers' classes of these families know (fixtures/loader/config-keys.json): a value other than the
// default makes another model, is refused by name, or is one of those that say nothing of what a model computes.

import { readFile } from "node:fs/promises";
import type { Json } from "@caramba/files";
import type { CarambaError } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { fixturePath } from "../test-support/fixture.ts";
import { hfConfigToCaramba } from "./hf-config.ts";

type Keys = Record<string, Json>;
const { families } = JSON.parse(await readFile(fixturePath("config-keys.json"), "utf8")) as {
  families: Record<string, { defaults: Keys; half_rotation: Record<string, string> }>;
};

const layers = 4;
const types = ["full_attention", "sliding_attention", "full_attention", "full_attention"];
/** Another value for each key that decides something, with the keys that it needs beside it. */
const others: Readonly<Record<string, Keys>> = {
  attention_bias: { attention_bias: true },
  attention_dropout: { attention_dropout: 0.5 },
  head_dim: { head_dim: 12 },
  hidden_act: { hidden_act: "gelu" },
  hidden_size: { hidden_size: 64 },
  intermediate_size: { intermediate_size: 48 },
  layer_types: { layer_types: types, use_sliding_window: true, sliding_window: 8 },
  max_position_embeddings: { max_position_embeddings: 77 },
  max_window_layers: { max_window_layers: 1, use_sliding_window: true, sliding_window: 8 },
  mlp_bias: { mlp_bias: true },
  no_rope_layer_interval: { no_rope_layer_interval: 2 },
  no_rope_layers: { no_rope_layers: [0, 1, 1, 1] },
  num_attention_heads: { num_attention_heads: 8 },
  num_hidden_layers: { num_hidden_layers: 5 },
  num_key_value_heads: { num_key_value_heads: 1 },
  rms_norm_eps: { rms_norm_eps: 0.5 },
  rope_parameters: { rope_parameters: { rope_type: "linear", rope_theta: 500, factor: 2 } },
  sliding_window: { sliding_window: 3, use_sliding_window: true, max_window_layers: 0, no_rope_layers: [0, 0, 1, 1] },
  tie_word_embeddings: { tie_word_embeddings: false },
  use_sliding_window: { use_sliding_window: true, sliding_window: 8, max_window_layers: 0 },
  vocab_size: { vocab_size: 50 },
};
/** Other values that mean another kind of computation. */
const refused: Readonly<Record<string, Json>> = {
  is_encoder_decoder: true,
  architectures: ["LlamaForTokenClassification"],
};
/** Why the others say nothing: what is asked of a pass, how training begins, ids and names, the type weights are kept in. */
const neutral = [
  ...["output_attentions", "output_hidden_states", "return_dict", "use_cache", "chunk_size_feed_forward"],
  ...["initializer_range", "pretraining_tp", "dtype"],
  ...["bos_token_id", "eos_token_id", "pad_token_id", "id2label", "label2id", "problem_type"],
];

describe.each(Object.keys(families))("%s", (family) => {
  const { defaults } = families[family] as { defaults: Keys };
  const base: Keys = {
    ...{
      model_type: family,
      hidden_size: 32,
      intermediate_size: 40,
      num_attention_heads: 4,
      num_hidden_layers: layers,
    },
    ...{ num_key_value_heads: 2, vocab_size: 48, tie_word_embeddings: true },
    ...(family === "qwen3" ? { head_dim: 8 } : {}),
  };
  const read = (keys: Keys) => hfConfigToCaramba({ ...base, ...keys });

  it("written out in full, the defaults are what absent keys mean", () => {
    const { model, ignored, unknown } = hfConfigToCaramba(defaults);
    const needed = ["num_attention_heads", "num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size"];
    const bare = Object.fromEntries(needed.map((key) => [key, defaults[key] ?? null]));
    expect(hfConfigToCaramba({ ...bare, model_type: family }).model).toEqual(model);
    expect(unknown).toEqual([]);
    // Class names and encoders are looked at, and only neutral keys are not.
    expect(ignored.filter((key) => !neutral.includes(key))).toEqual([]);
  });

  it.each(Object.keys(defaults).filter((key) => key !== "model_type"))("%s is honoured, refused or neutral", (key) => {
    const given = others[key];
    if (Object.hasOwn(refused, key))
      expect(() => read({ [key]: refused[key] as Json })).toThrow(
        expect.objectContaining({ code: "unsupported-model" }) as CarambaError,
      );
    else if (given) {
      const { [key]: own, ...rest } = given;
      // Only those that this class has, so that the key itself makes the difference.
      const known = Object.fromEntries(Object.entries(rest).filter(([name]) => Object.hasOwn(defaults, name)));
      expect(read({ ...known, [key]: own as Json }).model).not.toEqual(read(known).model);
    } else {
      expect(neutral).toContain(key);
      const { model, ignored, unknown } = read({ [key]: 1 });
      expect([model, ignored, unknown]).toEqual([read({}).model, [key], []]);
    }
  });

  it("half rotation is refused: transformers computes the whole, or fails", () => {
    expect(families[family]?.half_rotation).toEqual({ default: "ignored", linear: "fails" });
    for (const keys of [
      { partial_rotary_factor: 0.5 },
      { rope_parameters: { rope_type: "default", rope_theta: 10000, partial_rotary_factor: 0.5 } },
    ])
      expect(() => read(keys)).toThrow(/partial_rotary_factor 0\.5 is not supported/);
    expect(read({ partial_rotary_factor: 1 }).model).toEqual(read({}).model);
  });

  it("a key that no class has is told apart from those that mean nothing", () => {
    const { ignored, unknown } = read({ use_cache: true, attention_magic: 3, auto_map: { AutoModel: "x.Y" } });
    expect(ignored).toEqual(["use_cache", "attention_magic", "auto_map"]);
    expect(unknown).toEqual(["attention_magic", "auto_map"]);
  });

  it.each<[string, Json]>([
    ["quantization_config", { quant_method: "fp8" }],
    ["compression_config", { format: "pack-quantized" }],
    ["quantization", { bits: 4 }],
    ["rope_scaling", { rope_type: "yarn", factor: 4 }],
    ["rope_scaling", { type: "dynamic", factor: 4 }],
    ["rope_scaling", { rope_type: "longrope", factor: 4 }],
    ["hidden_act", "quick_gelu"],
    ["final_logit_softcapping", 30],
    ["num_local_experts", 8],
    ["logits_scaling", 8],
    ["attention_multiplier", 0.1],
  ])("%s %j is refused by name", (key, value) => {
    expect(() => read({ [key]: value })).toThrow(new RegExp(`${key}.* is not supported`));
  });
});
