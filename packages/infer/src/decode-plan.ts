// Decode plans: how much of a prompt is scored at once and how far attention looks back, by the length of the context.
// `auto` has three stages, up to decode_bucket_short tokens, up to decode_bucket_mid, and beyond; `fixed` has one; `none`
// leaves everything to the layers. Pieces never cross from one stage into the next, so what a token sees depends on its
// position alone. Windows change results and act where they are asked for; pieces do not.
import type { GenerateConfig } from "@caramba/config";

/** How positions from one on are decoded. */
export interface DecodeStage {
  /** Most tokens scored at once; default the decoder's own. */
  readonly qChunk?: number | undefined;
  /** Beats the local_window of the attention layers; default each its own. */
  readonly localWindow?: number | null | undefined;
  /** The first position that this stage is not for; default none. */
  readonly until?: number;
}

/** The stage of the token at a position. */
export type DecodePlan = (position: number) => DecodeStage;

type PlanKeys =
  | "decodePlan"
  | `decodeBucket${"Short" | "Mid"}`
  | Extract<keyof GenerateConfig, `decode${"QChunk" | "LocalWindow"}${string}`>;

/** A config's plan. */
export function decodePlan(config: Pick<GenerateConfig, PlanKeys>): DecodePlan {
  const { decodeBucketShort: short, decodeBucketMid: mid } = config;
  const given = (value: number | null): number | undefined => value ?? undefined;
  const fixed = { qChunk: given(config.decodeQChunk), localWindow: given(config.decodeLocalWindow) };
  if (config.decodePlan === "fixed") return () => fixed;
  if (config.decodePlan === "none") return () => ({});
  const long = { qChunk: config.decodeQChunkLong, localWindow: given(config.decodeLocalWindowLong) };
  return (position) => {
    if (position < short) return { until: short };
    return position < mid ? { qChunk: config.decodeQChunkMid, until: mid } : long;
  };
}
