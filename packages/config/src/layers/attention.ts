// The attention layer's entry among the layers; its schema, rules and widths are in ../attention.ts.
import {
  type AttentionLayerConfig,
  attentionGeometry,
  attentionLayerSchema,
  type RopeScaling,
  rotatedHeadDim,
} from "../attention.ts";
import { type Defaulted, fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec, type Resize } from "../layer-spec.ts";
import { formatShape } from "../shape.ts";

type Llama3Scaling = Extract<RopeScaling, { ropeType: "llama3" }>;
export type RopeScalingInput = Exclude<RopeScaling, Llama3Scaling> | Defaulted<Llama3Scaling, "ropeType">;
export type AttentionLayerInput = LayerFields<Omit<AttentionLayerConfig, "ropeScaling">, "dModel" | "nHeads"> & {
  ropeScaling?: RopeScalingInput | null | undefined;
};

export const attentionLayerSpec: LayerSpec<AttentionLayerConfig> = {
  type: "AttentionLayer",
  schema: attentionLayerSchema,
  width: ({ dModel }) => ({ key: "d_model", value: dModel }),
  demands: (_, input) =>
    input.length === 3
      ? []
      : [{ path: [], message: `expected an input [B, T, d_model] for attention, found ${formatShape(input)}` }],
  parameters: attentionParameters,
  cacheElementsPerToken: (config) => attentionGeometry(config).kvElementsPerToken,
  readsAhead: ({ isCausal }) => (isCausal ? null : "is_causal: false"),
  resize,
  words: attentionWords,
};

/** `attentionLayerConfig({ dModel: 256, nHeads: 8, mode: "decoupled", semDim: 32, geoDim: 64 })`. */
export function attentionLayerConfig(input: AttentionLayerInput): AttentionLayerConfig {
  return fromCode(attentionLayerSchema, "AttentionLayer", { type: "AttentionLayer", ...input });
}

function attentionParameters(layer: AttentionLayerConfig): number {
  const { nHeads, nKvHeads, headDim, semHeadDim, vHeadDim, vDim } = attentionGeometry(layer);
  const { dModel, bias } = layer;
  const tied = layer.tieQk ? nKvHeads * semHeadDim : 0;
  const rows = nHeads * headDim + nKvHeads * (headDim + vHeadDim) - tied;
  const products = rows * dModel + dModel * vDim;
  const biases = (bias ? rows : 0) + ((layer.outBias ?? bias) ? dModel : 0);
  const gate = (layer.decoupledGate ? nHeads : 0) + (layer.decoupledGateDynamic ? dModel * nHeads : 0);
  const temperature = layer.learnedTemp ? nHeads : 0;
  const nullKey = layer.nullAttn ? nKvHeads * (headDim + vHeadDim) : 0;
  const norms = layer.qkNorm ? 2 * headDim : 0;
  return products + biases + gate + temperature + nullKey + norms + summaryParameters(layer, headDim, vHeadDim);
}

function summaryParameters({ memBlock, memSummarize }: AttentionLayerConfig, dk: number, dv: number): number {
  if (memBlock === null || memSummarize === "mean") return 0;
  return memSummarize === "linear" ? dk * dk + dv * dv : 3 * (dk + dv);
}

function attentionWords(layer: AttentionLayerConfig): string {
  const { nHeads, nKvHeads, kvElementsPerToken } = attentionGeometry(layer);
  const sizes = Object.entries({
    ...(layer.mode === "decoupled" ? { sem_dim: layer.semDim, geo_dim: layer.geoDim } : {}),
    attn_dim: layer.attnDim,
    rope_dim: layer.ropeDim,
    local_window: layer.localWindow,
    mem_block: layer.memBlock,
    mem_summarize: layer.memBlock === null ? null : layer.memSummarize,
    mem_activation_threshold: layer.memActivationThreshold,
    q_chunk: layer.qChunk,
    kv_elements_per_token: kvElementsPerToken,
  }).flatMap(([key, value]) => (value === null ? [] : [` ${key}=${value}`]));
  const flags = Object.entries({
    rope_semantic: layer.ropeSemantic,
    tie_qk: layer.tieQk,
    null_attn: layer.nullAttn,
    gate: layer.decoupledGate && !layer.decoupledGateDynamic,
    dynamic_gate: layer.decoupledGateDynamic,
    learned_temp: layer.learnedTemp,
    qk_norm: layer.qkNorm,
    not_causal: !layer.isCausal,
  }).flatMap(([key, value]) => (value ? [` ${key}`] : []));
  const scaling =
    layer.ropeScaling && layer.ropeScaling.ropeType !== "default" ? ` rope=${layer.ropeScaling.ropeType}` : "";
  return `mode=${layer.mode} heads=${nHeads}/${nKvHeads}${sizes.join("")}${scaling}${flags.join("")}`;
}

function resize(layer: AttentionLayerConfig, to: Resize): AttentionLayerConfig {
  const { nHeads } = to;
  const { attnDim, semDim, geoDim } = layer;
  // An even share per head, so that it can be rotated.
  const share = (size: number | null): number | null =>
    size === null ? null : 2 * nHeads * Math.max(1, Math.round(((size / to.from) * to.to) / (2 * nHeads)));
  const resized = {
    ...layer,
    dModel: follow(layer.dModel, to),
    nHeads,
    nKvHeads: layer.nKvHeads === null ? null : divisorBelow(nHeads, (layer.nKvHeads / layer.nHeads) * nHeads),
    attnDim: share(attnDim),
    semDim: share(semDim),
    geoDim: share(geoDim),
    ropeDim: null,
  };
  if (layer.ropeDim === null) return resized;
  // The same part of a head is rotated.
  const [before, after] = [rotatedHeadDim({ ...layer, ropeDim: null }), rotatedHeadDim(resized)];
  return { ...resized, ropeDim: Math.min(after, 2 * Math.max(1, Math.round((layer.ropeDim / before) * (after / 2)))) };
}

function divisorBelow(n: number, wanted: number): number {
  let best = 1;
  for (let k = 1; k <= Math.max(1, wanted); k++) if (n % k === 0) best = k;
  return best;
}
