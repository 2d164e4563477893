// model_type caramba_dba: a Llama whose attention is decoupled (DBA), in the form of a Hugging Face folder. transformers
// has no such class; docs/checkpoints.md documents every key and tensor, so that one can be written. Keys that a Llama has
// mean the same; those of attention are here. Widths are per head.

import { type AttentionLayerConfig, type AttentionLayerInput, attentionGeometry } from "@caramba/config";
import type { Json } from "@caramba/files";
import type { HfFields } from "./hf-fields.ts";

const flags = {
  rope_enabled: ["ropeEnabled", true],
  rope_semantic: ["ropeSemantic", false],
  tie_qk: ["tieQk", false],
  null_attn: ["nullAttn", false],
  decoupled_gate: ["decoupledGate", false],
  decoupled_gate_dynamic: ["decoupledGateDynamic", false],
  learned_temp: ["learnedTemp", false],
  is_causal: ["isCausal", true],
  attention_bias: ["bias", false],
  qk_norm: ["qkNorm", false],
} as const;

type DbaFields = Pick<
  AttentionLayerConfig,
  (typeof flags)[keyof typeof flags][0] | "mode" | "semDim" | "geoDim" | "attnDim" | "ropeDim" | "outBias" | "qkNormEps"
>;

/** The attention of a caramba_dba config, without what all families share. */
export function readDbaAttention(fields: HfFields, nHeads: number, dModel: number): DbaFields & AttentionLayerInput {
  const read = Object.fromEntries(
    Object.entries(flags).map(([key, [name, absent]]) => [name, fields.get(key, "flag", absent)]),
  ) as Pick<DbaFields, (typeof flags)[keyof typeof flags][0]>;
  const attnDim = nHeads * fields.get("v_head_dim", "size");
  return {
    ...read,
    mode: "decoupled",
    dModel,
    nHeads,
    semDim: nHeads * fields.get("sem_head_dim", "size"),
    geoDim: nHeads * fields.get("geo_head_dim", "size"),
    attnDim: attnDim === dModel ? null : attnDim,
    ropeDim: fields.optional("rope_dim", "size"),
    outBias: fields.optional("attention_out_bias", "flag"),
    qkNormEps: fields.get("qk_norm_eps", "positive", 1e-6),
  };
}

/** The same, written. */
export function writeDbaAttention(config: AttentionLayerConfig): Record<string, Json> {
  const { semHeadDim, geoHeadDim, vHeadDim } = attentionGeometry(config);
  return {
    ...Object.fromEntries(Object.entries(flags).map(([key, [name]]) => [key, config[name]])),
    attention_out_bias: config.outBias,
    geo_head_dim: geoHeadDim,
    qk_norm_eps: config.qkNormEps,
    rope_dim: config.ropeDim,
    sem_head_dim: semHeadDim,
    v_head_dim: vHeadDim,
  };
}
