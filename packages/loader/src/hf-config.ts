// config.json of a Hugging Face Llama (model_type llama or mistral) as a Caramba model, and back. What would change the
// results and cannot be represented is refused by name; keys that mean nothing to a model's function are reported.
// Defaults are those of transformers' LlamaConfig and MistralConfig.
import {
  type AttentionLayerConfig,
  ConfigError,
  type ModelConfig,
  modelConfig,
  type RopeScaling,
} from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import { llamaBlocks } from "./hf-names.ts";
import type { Json } from "./strict-json.ts";

/** A model read from a config.json. */
export interface ImportedConfig {
  readonly model: ModelConfig;
  /** Keys that were given but have no bearing on what the model computes, as far as Caramba knows. */
  readonly ignored: readonly string[];
}

type JsonObject = { readonly [key: string]: Json };

const fields = {
  size: (value: Json): value is number => typeof value === "number" && Number.isSafeInteger(value) && value > 0,
  positive: (value: Json): value is number => typeof value === "number" && value > 0,
  fraction: (value: Json): value is number => typeof value === "number" && value >= 0 && value < 1,
  flag: (value: Json): value is boolean => typeof value === "boolean",
  word: (value: Json): value is string => typeof value === "string",
};
const kinds = {
  size: "a whole number above 0",
  positive: "a number above 0",
  fraction: "a number from 0 to below 1",
  flag: "true or false",
  word: "a string",
} as const;

/**
 * Stacked[ Nested[ Residual[RMSNorm, Attention], Residual[RMSNorm, SwiGLU] ] x L, RMSNorm, Linear head if untied ].
 * @param place names the file in messages.
 * @throws CarambaError `unsupported-model` or `bad-config`, naming the key.
 */
export function hfLlamaToCaramba(json: Json, place = "config.json"): ImportedConfig {
  if (json === null || typeof json !== "object" || Array.isArray(json)) throw badConfig(place, "is not an object");
  const used = new Set<string>();
  const get = <K extends keyof typeof fields>(key: string, kind: K, fallback?: unknown) => {
    used.add(key);
    const value = json[key] ?? null;
    if (value === null && fallback !== undefined) return fallback;
    if (value === null) throw badConfig(place, `${key} is missing`);
    if (!fields[kind](value)) throw badConfig(place, `${key} is ${JSON.stringify(value)}, expected ${kinds[kind]}`);
    return value;
  };
  const size = (key: string, fallback?: number): number => get(key, "size", fallback) as number;
  const flag = (key: string): boolean => get(key, "flag", false) as boolean;

  const modelType = get("model_type", "word") as string;
  if (modelType !== "llama" && modelType !== "mistral") {
    throw unsupported(place, `model_type ${JSON.stringify(modelType)}`, "Use a Llama or Mistral model.");
  }
  refuseUnlessNeutral(json, place, used);
  const dModel = size("hidden_size");
  const nHeads = size("num_attention_heads");
  const nKvHeads = size("num_key_value_heads", modelType === "mistral" ? 8 : nHeads);
  if (json["head_dim"] === undefined && dModel % nHeads !== 0) {
    throw badConfig(place, `hidden_size ${dModel} is not a multiple of num_attention_heads ${nHeads}`);
  }
  const attnDim = nHeads * size("head_dim", dModel / nHeads);
  const eps = get("rms_norm_eps", "positive", 1e-6) as number;
  const layers = size("num_hidden_layers");
  const vocabSize = size("vocab_size");
  const tied = flag("tie_word_embeddings");
  const norm = { type: "RMSNormLayer", dModel, eps } as const;
  const attention = {
    type: "AttentionLayer",
    dModel,
    nHeads,
    nKvHeads,
    mode: nKvHeads === nHeads ? "standard" : "gqa",
    attnDim: attnDim === dModel ? null : attnDim,
    ...rope(json, place, used),
    bias: flag("attention_bias"),
    dropoutP: get("attention_dropout", "fraction", 0) as number,
    localWindow: modelType === "mistral" ? slidingWindow(json, place, used) : null,
  } as const;
  const mlp = { type: "SwiGLULayer", dModel, dFf: size("intermediate_size"), bias: flag("mlp_bias") } as const;
  const head = { type: "LinearLayer", dIn: dModel, dOut: vocabSize, bias: false } as const;
  const block = [
    { type: "ResidualTopology", layers: [norm, attention] },
    { type: "ResidualTopology", layers: [norm, mlp] },
  ] as const;
  const blockSize = size("max_position_embeddings", modelType === "mistral" ? 131072 : 2048);
  try {
    const model = modelConfig({
      embedder: { type: "token", vocabSize, dModel },
      topology: {
        type: "StackedTopology",
        layers: [{ type: "NestedTopology", repeat: layers, layers: block }, norm, ...(tied ? [] : [head])],
      },
      tiedEmbeddings: tied,
      blockSize,
    });
    return { model, ignored: Object.keys(json).filter((key) => !used.has(key)) };
  } catch (error) {
    if (error instanceof ConfigError) throw badConfig(place, error.message, error);
    throw error;
  }
}

// Keys whose other values mean a different computation.
function refuseUnlessNeutral(json: JsonObject, place: string, used: Set<string>): void {
  const neutral: Readonly<Record<string, (value: Json) => boolean>> = {
    hidden_act: (value) => value === "silu" || value === "swish",
    partial_rotary_factor: (value) => value === 1,
    quantization_config: () => false,
    layer_types: (value) => Array.isArray(value) && value.every((type) => type === "full_attention"),
    is_decoder: () => true,
    add_cross_attention: (value) => value === false,
    is_encoder_decoder: (value) => value === false,
  };
  for (const [key, isNeutral] of Object.entries(neutral)) {
    used.add(key);
    const value = json[key] ?? null;
    if (value !== null && !isNeutral(value)) {
      throw unsupported(place, `${key} ${clip(value)}`, "Use a checkpoint without it.");
    }
  }
}

function slidingWindow(json: JsonObject, place: string, used: Set<string>): number | null {
  used.add("sliding_window");
  const value = json["sliding_window"];
  if (value === null) return null;
  if (value === undefined) return 4096;
  if (!fields.size(value)) throw badConfig(place, `sliding_window is ${clip(value)}, expected ${kinds.size} or null`);
  return value;
}

// transformers 5 writes one object, rope_parameters; earlier ones write rope_theta and rope_scaling.
function rope(
  json: JsonObject,
  place: string,
  used: Set<string>,
): { ropeBase: number; ropeScaling: RopeScaling | null } {
  for (const key of ["rope_parameters", "rope_scaling", "rope_theta"]) used.add(key);
  const given = json["rope_parameters"] ?? json["rope_scaling"] ?? {};
  const key = json["rope_parameters"] ? "rope_parameters" : "rope_scaling";
  if (typeof given !== "object" || Array.isArray(given)) throw badConfig(place, `${key} is not an object`);
  const number = (name: string, value: Json | undefined): number => {
    if (value === undefined || !fields.positive(value)) {
      throw badConfig(place, `${key}.${name} is ${clip(value ?? null)}, expected ${kinds.positive}`);
    }
    return value;
  };
  const [inner, outer] = [given["rope_theta"], json["rope_theta"]];
  if (inner !== undefined && outer !== undefined && inner !== outer) {
    throw badConfig(place, `rope_theta is ${clip(outer)}, but ${clip(inner)} in ${key}`);
  }
  const ropeBase = number("rope_theta", inner ?? outer ?? 10000);
  const ropeType = given["rope_type"] ?? given["type"] ?? "default";
  if (ropeType === "default") return { ropeBase, ropeScaling: null };
  if (ropeType === "linear")
    return { ropeBase, ropeScaling: { ropeType: "linear", factor: number("factor", given["factor"]) } };
  if (ropeType !== "llama3")
    throw unsupported(place, `${key} of type ${clip(ropeType)}`, 'Use "default", "linear" or "llama3".');
  const context = number("original_max_position_embeddings", given["original_max_position_embeddings"]);
  return {
    ropeBase,
    ropeScaling: {
      ropeType: "llama3",
      factor: number("factor", given["factor"]),
      lowFreqFactor: number("low_freq_factor", given["low_freq_factor"]),
      highFreqFactor: number("high_freq_factor", given["high_freq_factor"]),
      originalMaxPositionEmbeddings: context,
    },
  };
}

/**
 * The config.json with which transformers computes the same as `model`.
 * @throws CarambaError `not-a-llama` for models that are none; `unsupported-model` for options Llama does not have.
 */
export function carambaToHfLlama(model: ModelConfig, dtype: "float32" | "bfloat16" | "float16"): Record<string, Json> {
  const { vocabSize, dModel, blocks, eps, tied } = llamaBlocks(model);
  const [first] = blocks;
  if (!first) throw unsupported("the model", "a model without blocks", "Use at least one block.");
  for (const { attention, mlp } of blocks) {
    if (!sameFunction(attention, first.attention) || mlp.dFf !== first.mlp.dFf || mlp.bias !== first.mlp.bias) {
      throw unsupported("the model", "blocks that differ from each other", "Export needs equal blocks.");
    }
  }
  const { attention, mlp } = first;
  refuseOptions(attention);
  const scaling = attention.ropeScaling;
  const sliding = attention.localWindow !== null;
  if (sliding && (attention.bias || mlp.bias)) {
    throw unsupported("the model", "local_window together with bias", "Mistral has no bias.");
  }
  return {
    architectures: [sliding ? "MistralForCausalLM" : "LlamaForCausalLM"],
    model_type: sliding ? "mistral" : "llama",
    ...(sliding
      ? { sliding_window: attention.localWindow }
      : { attention_bias: attention.bias, mlp_bias: mlp.bias, pretraining_tp: 1 }),
    attention_dropout: attention.dropoutP,
    head_dim: (attention.attnDim ?? dModel) / attention.nHeads,
    hidden_act: "silu",
    hidden_size: dModel,
    initializer_range: 0.02,
    intermediate_size: mlp.dFf,
    max_position_embeddings: model.blockSize ?? 2048,
    num_attention_heads: attention.nHeads,
    num_hidden_layers: blocks.length,
    num_key_value_heads: attention.nKvHeads ?? attention.nHeads,
    rms_norm_eps: eps,
    rope_scaling: scaling && hfScaling(scaling),
    rope_theta: attention.ropeBase,
    tie_word_embeddings: tied,
    torch_dtype: dtype,
    use_cache: true,
    vocab_size: vocabSize,
  };
}

function hfScaling(scaling: RopeScaling): Record<string, Json> | null {
  if (scaling.ropeType === "default") return null;
  if (scaling.ropeType === "linear") return { rope_type: "linear", factor: scaling.factor };
  return {
    rope_type: "llama3",
    factor: scaling.factor,
    low_freq_factor: scaling.lowFreqFactor,
    high_freq_factor: scaling.highFreqFactor,
    original_max_position_embeddings: scaling.originalMaxPositionEmbeddings,
  };
}

// q_chunk and the informational keys leave results as they are.
const neutralKeys: ReadonlySet<string> = new Set(["qChunk", "dbaTrainBackend", "debugFusedDecode", "mode", "nKvHeads"]);

function sameFunction(a: AttentionLayerConfig, b: AttentionLayerConfig): boolean {
  const key = (config: AttentionLayerConfig): string =>
    JSON.stringify([
      config.nKvHeads ?? config.nHeads,
      ...Object.entries(config)
        .filter(([name]) => !neutralKeys.has(name))
        .sort(([x], [y]) => (x < y ? -1 : 1)),
    ]);
  return key(a) === key(b);
}

function refuseOptions(attention: AttentionLayerConfig): void {
  const { mode, ropeEnabled, ropeDim, isCausal, nullAttn, learnedTemp, bias, outBias, qkNorm } = attention;
  const option = [
    mode === "decoupled" && "mode: decoupled",
    !ropeEnabled && "rope_enabled: false",
    !isCausal && "is_causal: false",
    nullAttn && "null_attn",
    learnedTemp && "learned_temp",
    (outBias ?? bias) !== bias && "out_bias",
    qkNorm && "qk_norm",
    ropeDim !== null && "rope_dim",
  ].find((found) => found !== false);
  if (option)
    throw unsupported("the model", `attention with ${option}`, "A Llama has no such option; keep Caramba's format.");
}

function clip(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function badConfig(place: string, what: string, cause?: unknown): CarambaError {
  return new CarambaError(`${place}: ${what}`, {
    code: "bad-config",
    remedy: "Check that the folder holds a complete Llama or Mistral checkpoint.",
    cause,
  });
}

function unsupported(place: string, what: string, remedy: string): CarambaError {
  return new CarambaError(`${place}: ${what} is not supported`, { code: "unsupported-model", remedy });
}
