// A Caramba model as a Hugging Face config.json: of the first family that can say what the model computes, or of
// caramba_dba for decoupled attention. What no family can say is refused, with the reason of each that came near.

import type { AttentionLayerConfig, GLULayerConfig, ModelConfig, SwiGLULayerConfig } from "@caramba/config";
import type { Json } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { writeDbaAttention } from "./hf-dba.ts";
import { dbaFamily, type HfFamily, hfActivations, hfFamilies } from "./hf-families.ts";
import { unsupported } from "./hf-fields.ts";
import { type DecoderModel, decoderBlocks } from "./hf-names.ts";
import { writeRope } from "./hf-rope.ts";

/** Number format of exported weights. */
export type ExportDType = "float32" | "bfloat16" | "float16";

/** Ids that a config names; null: none. */
export interface SpecialIds {
  readonly bos?: number | null;
  readonly eos?: number | readonly number[] | null;
  readonly pad?: number | null;
}

/**
 * The config.json with which transformers computes the same as `model`.
 * @throws CarambaError `not-a-llama` for models built otherwise; `unsupported-model` for options that no family has.
 */
export function carambaToHfConfig(
  model: ModelConfig,
  dtype: ExportDType,
  special: SpecialIds = {},
): Record<string, Json> {
  const decoder = decoderBlocks(model);
  const { attention, mlp } = firstBlock(decoder);
  demandEqualBlocks(decoder);
  const family = familyFor(decoder);
  const windows = decoder.blocks.map(({ attention: { localWindow } }) => localWindow);
  const isDba = family === dbaFamily;
  const headDim = (attention.attnDim ?? decoder.dModel) / attention.nHeads;
  return {
    architectures: [family.architecture],
    ...(family.attentionBias === "key" ? { attention_bias: attention.bias } : {}),
    attention_dropout: attention.dropoutP,
    bos_token_id: special.bos ?? null,
    eos_token_id: (special.eos ?? null) as Json,
    ...(isDba ? writeDbaAttention(attention) : { head_dim: headDim }),
    hidden_act: activationName(mlp),
    hidden_size: decoder.dModel,
    initializer_range: 0.02,
    intermediate_size: mlp.dFf,
    ...windowKeys(family, windows),
    max_position_embeddings: model.blockSize ?? family.context,
    ...(family.mlpBias ? { mlp_bias: mlp.bias } : {}),
    model_type: family.modelType,
    ...(family.noRope
      ? { no_rope_layers: decoder.blocks.map(({ attention: { ropeEnabled } }) => (ropeEnabled ? 1 : 0)) }
      : {}),
    num_attention_heads: attention.nHeads,
    num_hidden_layers: decoder.blocks.length,
    num_key_value_heads: attention.nKvHeads ?? attention.nHeads,
    pad_token_id: special.pad ?? null,
    ...(family.modelType === "llama" ? { pretraining_tp: 1 } : {}),
    rms_norm_eps: decoder.eps,
    ...writeRope(rotatedAttention(decoder)),
    tie_word_embeddings: decoder.tied,
    torch_dtype: dtype,
    use_cache: true,
    vocab_size: decoder.vocabSize,
  };
}

function firstBlock(decoder: DecoderModel): DecoderModel["blocks"][number] {
  const [first] = decoder.blocks;
  if (!first) throw unsupported("the model", "a model without blocks", "Use at least one block.");
  return first;
}

/** Layers without rotation say nothing about it. */
function rotatedAttention(decoder: DecoderModel): AttentionLayerConfig {
  const { attention } = decoder.blocks.find((block) => block.attention.ropeEnabled) ?? firstBlock(decoder);
  return attention;
}

/** Why a family cannot express a model; null where it can. */
function obstacle(family: HfFamily, decoder: DecoderModel): string | null {
  const { attention, mlp } = firstBlock(decoder);
  const { mode, isCausal, memBlock, nullAttn, learnedTemp, qkNorm, qkNormEps, bias, outBias, ropeDim, nHeads } =
    attention;
  const windows = decoder.blocks.map((block) => block.attention.localWindow);
  const sizes = new Set(windows.filter((window) => window !== null));
  const headDim = (attention.attnDim ?? decoder.dModel) / nHeads;
  const plain = family !== dbaFamily;
  const found: [string, boolean][] = [
    ["mode: decoupled", plain && mode === "decoupled"],
    [`mode: ${mode}`, !plain && mode !== "decoupled"],
    ["null_attn", plain && nullAttn],
    ["mem_block", memBlock !== null],
    ["learned_temp", plain && learnedTemp],
    ["is_causal: false", plain && !isCausal],
    ["rope_dim", plain && ropeDim !== null && ropeDim !== headDim],
    ["rope_enabled: false", plain && !family.noRope && !decoder.blocks.every((b) => b.attention.ropeEnabled)],
    [`qk_norm: ${qkNorm}`, plain && family.qkNorm !== qkNorm],
    [`qk_norm_eps ${qkNormEps} beside eps ${decoder.eps}`, plain && qkNorm && qkNormEps !== decoder.eps],
    ["bias", family.attentionBias === "none" && (bias || outBias === true)],
    ["bias: false", family.attentionBias === "qkv" && !bias],
    [`out_bias: ${outBias}`, family.attentionBias === "qkv" && (outBias ?? bias)],
    [`out_bias: ${outBias}`, plain && family.attentionBias === "key" && (outBias ?? bias) !== bias],
    ["bias of the feed-forward network", !family.mlpBias && mlp.bias],
    ["local_window", family.windows === "none" && sizes.size > 0],
    ["local_window in some layers alone", family.windows === "all" && new Set(windows).size > 1],
    ["no local_window", family.windows === "all" && sizes.size === 0],
    ["local_windows of several sizes", sizes.size > 1],
  ];
  return found.find(([, isThere]) => isThere)?.[0] ?? null;
}

function familyFor(decoder: DecoderModel): HfFamily {
  const all = [...hfFamilies, dbaFamily];
  const reasons = all.map((family) => obstacle(family, decoder));
  const found = all[reasons.indexOf(null)];
  if (found) return found;
  const decoupled = firstBlock(decoder).attention.mode === "decoupled";
  const told = all
    .map(({ modelType }, i) => `${modelType} has no ${reasons[i]}`.replace("has no no ", "needs a "))
    .filter((_, i) => decoupled === (all[i] === dbaFamily));
  throw new CarambaError(`the model has no Hugging Face form: ${told.join("; ")}`, {
    code: "unsupported-model",
    remedy: "Keep Caramba's own checkpoint, or export it as ONNX.",
  });
}

function windowKeys(family: HfFamily, windows: readonly (number | null)[]): Record<string, Json> {
  const window = windows.find((size) => size !== null) ?? null;
  if (family.windows === "none") return {};
  if (family.windows === "all") return { sliding_window: window };
  return {
    layer_types: windows.map((size) => (size === null ? "full_attention" : "sliding_attention")),
    sliding_window: window,
    ...(family === dbaFamily ? {} : { use_sliding_window: window !== null }),
    // Where layer_types is not known yet, this says the same if it can be said.
    ...(family.modelType.startsWith("qwen") ? { max_window_layers: firstWindow(windows) } : {}),
  };
}

function firstWindow(windows: readonly (number | null)[]): number {
  const first = windows.findIndex((size) => size !== null);
  return first < 0 ? windows.length : first;
}

function activationName(mlp: SwiGLULayerConfig | GLULayerConfig): string {
  if (mlp.type === "SwiGLULayer") return "silu";
  const named = { silu: "silu", gelu: "gelu", gelu_tanh: "gelu_pytorch_tanh", relu: "relu" } as const;
  const name = Object.hasOwn(named, mlp.activation) ? named[mlp.activation as keyof typeof named] : mlp.activation;
  if (!Object.hasOwn(hfActivations, name))
    throw unsupported("the model", `activation ${name}`, "Keep Caramba's own checkpoint.");
  return name;
}

// Window and rotation may differ from layer to layer; q_chunk and the informational keys leave results as they are.
const perLayer: ReadonlySet<string> = new Set([
  "localWindow",
  "ropeEnabled",
  "ropeBase",
  "ropeScaling",
  "qChunk",
  "dbaTrainBackend",
  "debugFusedDecode",
  "mode",
  "nKvHeads",
]);

function demandEqualBlocks(decoder: DecoderModel): void {
  const first = firstBlock(decoder);
  const differs = (what: string, paths: { attention: string }): CarambaError =>
    unsupported("the model", `a block that differs in ${what} (${paths.attention})`, "Export needs equal blocks.");
  const rope = (config: AttentionLayerConfig): string => JSON.stringify(writeRope(config));
  for (const { attention, mlp, paths } of decoder.blocks) {
    const odd = firstDifference(attention, first.attention) ?? firstDifference(mlp, first.mlp);
    if (odd !== null) throw differs(odd, paths);
    if (attention.ropeEnabled && rope(attention) !== rope(rotatedAttention(decoder))) throw differs("rope", paths);
    if (attention.mode === "decoupled" && attention.ropeEnabled !== first.attention.ropeEnabled)
      throw differs("rope_enabled", paths);
  }
}

function firstDifference<T extends object>(a: T, b: T): string | null {
  const [left, right] = [filledIn(a), filledIn(b)];
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return keys.find((key) => JSON.stringify(left[key]) !== JSON.stringify(right[key])) ?? null;
}

/** What counts of a layer's config, with what follows from its defaults. */
function filledIn(config: object): Record<string, unknown> {
  const kept = Object.fromEntries(Object.entries(config).filter(([key]) => !perLayer.has(key)));
  if (!("nHeads" in config)) return kept;
  const { mode, nHeads, nKvHeads, bias, outBias, attnDim, dModel } = config as AttentionLayerConfig;
  return {
    ...kept,
    decoupled: mode === "decoupled",
    nKvHeads: nKvHeads ?? nHeads,
    outBias: outBias ?? bias,
    attnDim: attnDim ?? dModel,
  };
}
