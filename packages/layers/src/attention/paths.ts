// The score paths of an attention layer: one in standard mode, a semantic and a geometric one in decoupled mode. A path
// has a projection of queries and one of keys (one for both where tie_qk says so) and, with qk_norm, a norm of each.
import { type AttentionLayerConfig, attentionGeometry } from "@caramba/config";
import { LinearLayer } from "../linear.ts";
import { RMSNormLayer } from "../norm.ts";

/** A part of the scores: q_h . k_g over `width` features per head. */
export interface ScorePath {
  /** `""` in standard mode, `sem` or `geo`. */
  readonly part: "" | "sem" | "geo";
  /** Features per head. */
  readonly width: number;
  /** Names of the projections; equal where queries and keys share one. */
  readonly query: string;
  readonly key: string;
  /** Names of the norms. */
  readonly queryNorm: string;
  readonly keyNorm: string;
}

/** The paths of a config, in the order in which their features stand in a cached key. */
export function scorePaths(config: AttentionLayerConfig): readonly ScorePath[] {
  const { headDim, semHeadDim, geoHeadDim } = attentionGeometry(config);
  if (config.mode !== "decoupled")
    return [{ part: "", width: headDim, query: "q_proj", key: "k_proj", queryNorm: "q_norm", keyNorm: "k_norm" }];
  const path = (part: "sem" | "geo", width: number, tied: boolean): ScorePath => ({
    part,
    width,
    query: `q_${part}_proj`,
    key: tied ? `q_${part}_proj` : `k_${part}_proj`,
    queryNorm: `q_${part}_norm`,
    keyNorm: `k_${part}_norm`,
  });
  return [path("sem", semHeadDim, config.tieQk), path("geo", geoHeadDim, false)];
}

/** Linear maps by checkpoint name: those of the paths, then v_proj and out_proj. */
export function buildProjections(config: AttentionLayerConfig, paths: readonly ScorePath[]): Map<string, LinearLayer> {
  const { nHeads, nKvHeads, vHeadDim, vDim } = attentionGeometry(config);
  const { dModel, bias } = config;
  const linear = (dOut: number) => new LinearLayer({ dIn: dModel, dOut, bias });
  const found = new Map<string, LinearLayer>();
  for (const { query, key, width } of paths) {
    found.set(query, linear(nHeads * width));
    if (key !== query) found.set(key, linear(nKvHeads * width));
  }
  found.set("v_proj", linear(nKvHeads * vHeadDim));
  return found.set("out_proj", new LinearLayer({ dIn: vDim, dOut: dModel, bias: config.outBias ?? bias }));
}

/** RMSNorms over one head's features, shared by the heads, by checkpoint name (Qwen3: q_norm, k_norm). */
export function buildNorms(config: AttentionLayerConfig, paths: readonly ScorePath[]): Map<string, RMSNormLayer> {
  const found = new Map<string, RMSNormLayer>();
  if (!config.qkNorm) return found;
  for (const { queryNorm, keyNorm, width } of paths)
    for (const name of [queryNorm, keyNorm])
      found.set(name, new RMSNormLayer({ dModel: width, eps: config.qkNormEps }));
  return found;
}
