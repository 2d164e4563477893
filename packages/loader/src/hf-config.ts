// config.json of a Hugging Face model of the Llama family as a Caramba model: Llama 2, 3, 3.2, Mistral, Qwen2, Qwen3,
// SmolLM (model_type llama) and SmolLM3, and Caramba's own caramba_dba. What would change the results and cannot be
// represented is refused by name; keys that mean nothing to a model's function are reported. Defaults are transformers'.
import {
  type AttentionLayerInput,
  ConfigError,
  type LayerInput,
  type ModelConfig,
  type ModelInput,
  modelConfig,
} from "@caramba/config";
import type { Json } from "@caramba/files";
import { readDbaAttention } from "./hf-dba.ts";
import { dbaFamily, type HfFamily, hfActivations, hfFamilies } from "./hf-families.ts";
import { badConfig, clip, HfFields, unsupported } from "./hf-fields.ts";
import { readRope } from "./hf-rope.ts";

/** A model read from a config.json. */
export interface ImportedConfig {
  readonly model: ModelConfig;
  /** Keys that were given but have no bearing on what the model computes, as far as Caramba knows. */
  readonly ignored: readonly string[];
  /** Those of them that transformers' classes of these families do not have either: what they say, nobody here knows. */
  readonly unknown: readonly string[];
}

/** What attention layers may differ in. */
interface LayerKind {
  readonly window: number | null;
  readonly rotated: boolean;
}

/**
 * Keys of transformers' classes, now or in earlier versions, that say nothing of what a model computes: what is asked of
 * a pass, how training begins, ids, names, the type that weights are kept in; and those of a family's relatives that its
 * own class does not read.
 */
const neutralKeys: ReadonlySet<string> = new Set([
  ...[
    "_name_or_path",
    "transformers_version",
    "name_or_path",
    "id2label",
    "label2id",
    "problem_type",
    "finetuning_task",
  ],
  ...[
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "use_cache",
    "chunk_size_feed_forward",
    "torchscript",
  ],
  ...["initializer_range", "pretraining_tp", "dtype", "torch_dtype", "_attn_implementation", "attn_implementation"],
  ...["bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "is_llama_config", "use_mrope"],
  ...["attention_bias", "mlp_bias", "sliding_window", "use_sliding_window", "max_window_layers", "head_dim"],
]);

const maxLayers = 100_000;

/**
 * Stacked[ Nested[ Residual[RMSNorm, Attention], Residual[RMSNorm, SwiGLU or GLU] ] x L, RMSNorm, Linear head if untied ];
 * where layers differ in window or rotation, one Nested for each run of equal ones.
 * @param place names the file in messages.
 * @throws CarambaError `unsupported-model` or `bad-config`, naming the key.
 */
export function hfConfigToCaramba(json: Json, place = "config.json"): ImportedConfig {
  const fields = new HfFields(json, place);
  const family = familyOf(fields);
  refuseOtherComputations(fields, family);
  const dModel = fields.get("hidden_size", "size");
  const vocabSize = fields.get("vocab_size", "size");
  const tied = fields.get("tie_word_embeddings", "flag", family.tied);
  const norm = { type: "RMSNormLayer", dModel, eps: fields.get("rms_norm_eps", "positive", 1e-6) } as const;
  const attention = readAttention(fields, family, dModel, norm.eps);
  const mlp = readMlp(fields, family, dModel);
  const block = ({ window, rotated }: LayerKind) => {
    const scaling = rotated ? attention.ropeScaling : null;
    const own = { localWindow: window, ropeEnabled: rotated && attention.ropeEnabled !== false, ropeScaling: scaling };
    return [
      { type: "ResidualTopology", layers: [norm, { ...attention, ...own }] },
      { type: "ResidualTopology", layers: [norm, mlp] },
    ] as const;
  };
  const blocks = runs(layerKinds(fields, family)).map(({ kind, count }) => ({
    type: "NestedTopology" as const,
    repeat: count,
    layers: block(kind),
  }));
  const head = { type: "LinearLayer", dIn: dModel, dOut: vocabSize, bias: false } as const;
  const input: Omit<ModelInput, "type"> = {
    embedder: { type: "token", vocabSize, dModel },
    topology: { type: "StackedTopology", layers: [...blocks, norm, ...(tied ? [] : [head])] },
    tiedEmbeddings: tied,
    blockSize: fields.get("max_position_embeddings", "size", family.context),
  };
  try {
    const ignored = fields.unread;
    return { model: modelConfig(input), ignored, unknown: ignored.filter((key) => !neutralKeys.has(key)) };
  } catch (error) {
    if (error instanceof ConfigError) throw badConfig(place, error.message, error);
    throw error;
  }
}

/** By model_type; in files that have none, by the class of the model. */
function familyOf(fields: HfFields): HfFamily {
  const all = [...hfFamilies, dbaFamily];
  const names = all.map(({ modelType }) => modelType).join(", ");
  const remedy = `Use a model of one of these kinds: ${names}.`;
  const classes = fields.optional("architectures", "list") ?? [];
  for (const name of classes)
    if (typeof name !== "string" || !/(ForCausalLM|Model)$/.test(name))
      throw unsupported(fields.place, `architecture ${clip(name)}`, "Use a model that ends in a language-model head.");
  const modelType = fields.optional("model_type", "word");
  const found = all.find((family) =>
    modelType === null ? classes[0] === family.architecture : modelType === family.modelType,
  );
  if (found) return found;
  if (modelType === null && classes.length === 0) throw badConfig(fields.place, "model_type is missing");
  const what = modelType === null ? `architecture ${clip(classes[0] ?? null)}` : `model_type ${clip(modelType)}`;
  throw unsupported(fields.place, what, remedy);
}

// Keys whose other values mean a different computation, in these families or in relatives that took their name.
function refuseOtherComputations(fields: HfFields, family: HfFamily): void {
  const isOff = (value: Json): boolean =>
    value === false || value === 0 || (Array.isArray(value) && value.length === 0);
  const isOne = (value: Json): boolean => value === 1;
  for (const key of [
    "quantization_config",
    "compression_config",
    "quantization",
    "add_cross_attention",
    "is_encoder_decoder",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "clip_qkv",
    "num_local_experts",
    "num_experts",
    "use_qk_norm",
    "qk_layernorm",
    "alibi",
    "parallel_attn",
    "use_parallel_residual",
  ])
    fields.demand(key, isOff);
  for (const key of [
    "residual_multiplier",
    "embedding_multiplier",
    "attention_multiplier",
    "logits_scaling",
    "logit_scale",
    "attention_chunk_size",
  ])
    fields.demand(key, key === "attention_chunk_size" ? isOff : isOne);
  fields.demand("is_decoder", () => true);
  if (!family.noRope) {
    fields.demand("no_rope_layers", (value) => Array.isArray(value) && value.every(isOne));
    fields.demand("no_rope_layer_interval", isOff);
  }
}

function readAttention(fields: HfFields, family: HfFamily, dModel: number, eps: number) {
  const nHeads = fields.get("num_attention_heads", "size");
  const absent = fields.names("num_key_value_heads") ? nHeads : (family.kvHeads ?? nHeads);
  const nKvHeads = fields.get("num_key_value_heads", "size", absent);
  const dropoutP = fields.get("attention_dropout", "fraction", 0);
  const common = { type: "AttentionLayer", dModel, nHeads, nKvHeads, dropoutP } as const;
  const rope = readRope(fields, family.ropeBase);
  if (family === dbaFamily) return { ...common, ...rope, ...readDbaAttention(fields, nHeads, dModel) };
  const headDim = fields.optional("head_dim", "size") ?? family.headDim;
  if (headDim === null && dModel % nHeads !== 0)
    throw badConfig(fields.place, `hidden_size ${dModel} is not a multiple of num_attention_heads ${nHeads}`);
  const attnDim = nHeads * (headDim ?? dModel / nHeads);
  const bias =
    family.attentionBias === "qkv" || (family.attentionBias === "key" && fields.get("attention_bias", "flag", false));
  const plain: AttentionLayerInput & { type: "AttentionLayer" } = {
    ...common,
    ...rope,
    mode: nKvHeads === nHeads ? "standard" : "gqa",
    attnDim: attnDim === dModel ? null : attnDim,
    bias,
    outBias: family.attentionBias === "qkv" ? false : null,
    ...(family.qkNorm ? { qkNorm: true, qkNormEps: eps } : {}),
  };
  return plain;
}

function readMlp(fields: HfFields, family: HfFamily, dModel: number): LayerInput {
  const dFf = fields.get("intermediate_size", "size");
  const bias = family.mlpBias && fields.get("mlp_bias", "flag", false);
  const name = fields.get("hidden_act", "word", "silu");
  if (!Object.hasOwn(hfActivations, name)) {
    const names = Object.keys(hfActivations).join(", ");
    throw unsupported(fields.place, `hidden_act ${clip(name)}`, `Use a model with one of these: ${names}.`);
  }
  const activation = hfActivations[name as keyof typeof hfActivations];
  if (activation === "silu") return { type: "SwiGLULayer", dModel, dFf, bias };
  return { type: "GLULayer", dModel, dFf, bias, activation };
}

function layerKinds(fields: HfFields, family: HfFamily): LayerKind[] {
  const layers = fields.get("num_hidden_layers", "size");
  if (layers > maxLayers) throw badConfig(fields.place, `num_hidden_layers is ${layers}, more than ${maxLayers}`);
  const rotated = rotatedLayers(fields, family, layers);
  const windows = layerWindows(fields, family, rotated);
  return rotated.map((isRotated, i) => ({ rotated: isRotated, window: windows[i] ?? null }));
}

function rotatedLayers(fields: HfFields, family: HfFamily, layers: number): boolean[] {
  const every = Array.from({ length: layers }, () => true);
  if (!family.noRope) return every;
  const interval = fields.get("no_rope_layer_interval", "size", 4);
  const given = fields.optional("no_rope_layers", "list");
  if (!given) return every.map((_, i) => (i + 1) % interval !== 0);
  // transformers takes a longer list for more layers than there are.
  if (given.length < layers || !given.every((value) => value === 0 || value === 1))
    throw badConfig(fields.place, `no_rope_layers is ${clip(given as Json)}, expected ${layers} times 0 or 1`);
  return every.map((_, i) => given[i] === 1);
}

function layerWindows(fields: HfFields, family: HfFamily, rotated: readonly boolean[]): (number | null)[] {
  const { place } = fields;
  const types = layerTypes(fields, rotated.length);
  if (family.windows === "none") {
    if (types?.includes("sliding_attention"))
      throw unsupported(place, `layer_types with sliding_attention in a ${family.modelType}`, "Its layers see all.");
    return rotated.map(() => null);
  }
  const given = fields.optional("sliding_window", "size");
  const window = fields.names("sliding_window") ? given : family.window;
  if (family.windows === "all") {
    // transformers passes layer_types of a Mistral over; where they say otherwise, who knows what was trained.
    if (types?.some((type) => (type === "sliding_attention") !== (window !== null)))
      throw unsupported(place, `layer_types ${clip(types)} beside sliding_window ${window}`, "Remove layer_types.");
    return rotated.map(() => window);
  }
  const isUsed = family === dbaFamily || fields.get("use_sliding_window", "flag", false);
  const first = fields.get("max_window_layers", "count", 28);
  const isSliding = (i: number): boolean => {
    if (types) return types[i] === "sliding_attention";
    if (!isUsed || window === null) return false;
    if (family === dbaFamily) return true;
    return family.noRope ? !rotated[i] : i >= first;
  };
  const sliding = rotated.map((_, i) => isSliding(i));
  if (sliding.includes(true) && (!isUsed || window === null)) {
    const which = isUsed ? "sliding_window is null" : "use_sliding_window is false";
    throw badConfig(place, `layer_types has sliding_attention, but ${which}`);
  }
  return sliding.map((slides) => (slides ? window : null));
}

function layerTypes(fields: HfFields, layers: number): readonly Json[] | null {
  const types = fields.optional("layer_types", "list");
  if (!types) return null;
  const odd = types.find((type) => type !== "full_attention" && type !== "sliding_attention");
  if (odd !== undefined)
    throw unsupported(fields.place, `layer_types ${clip(odd)}`, "Use full_attention and sliding_attention.");
  if (types.length !== layers)
    throw badConfig(fields.place, `layer_types has ${types.length} entries, num_hidden_layers is ${layers}`);
  return types;
}

function runs(kinds: readonly LayerKind[]): { kind: LayerKind; count: number }[] {
  const found: { kind: LayerKind; count: number }[] = [];
  for (const kind of kinds) {
    const last = found.at(-1);
    if (last && last.kind.window === kind.window && last.kind.rotated === kind.rotated) last.count++;
    else found.push({ kind, count: 1 });
  }
  return found;
}
