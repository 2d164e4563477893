/** GenerateConfig: how text is generated and how its KV cache is stored. Lengths in tokens. */
import { z } from "zod";
import { type KVCacheKind, type KVCachePolicyConfig, kvCacheKindSchema, kvCachePolicySchema } from "./kvcache.ts";
import { camel } from "./names.ts";
import { exactly, nonNegative, nonNegativeInt, object, positive, positiveInt, type RuleIssue, text } from "./schema.ts";

export interface GenerateConfig {
  maxNewTokens: number;
  /** 0: greedy. */
  temperature: number;
  topK: number | null;
  topP: number | null;
  eosTokenId: number | null;
  maxSeqLen: number;
  cacheKind: KVCacheKind | "auto";
  cacheQblock: number;
  cacheResidualLen: number;
  cachePolicy: KVCachePolicyConfig | null;
  cacheBudgetMb: number | null;
  cacheAutoBenchmark: boolean;
  cacheAutoBenchSteps: number;
  cacheAutoBenchPromptLen: number;
  cacheFp16PrefixLayers: number;
  cacheQualityMaxDeltaNll: number | null;
  cacheQualityMaxPplRatio: number | null;
  cacheQualityMaxMeanKl: number | null;
  cacheQualityPromptLen: number;
  cacheQualityDecodeSteps: number;
  cachePlanPath: string | null;
  cachePlanProbe: boolean;
  cachePlanProbeIntervalSec: number;
  useDiffusion: boolean;
  diffusionGuidanceScale: number | null;
  decodePlan: "auto" | "fixed" | "none";
  decodeQChunk: number | null;
  decodeLocalWindow: number | null;
  decodeBucketShort: number;
  decodeBucketMid: number;
  decodeQChunkMid: number;
  decodeQChunkLong: number;
  /** null: no window (a window changes results, so it must be asked for). */
  decodeLocalWindowLong: number | null;
  repetitionPenalty: number;
  stopSequences: string[];
}

/** Settings of a decode plan that is not the one chosen would do nothing. */
function decodeRules(config: Record<string, unknown>): RuleIssue[] {
  const { decodePlan, decodeBucketShort, decodeBucketMid } = config;
  const only: [string, string][] = [
    ["decode_q_chunk", "fixed"],
    ["decode_local_window", "fixed"],
    ["decode_local_window_long", "auto"],
  ];
  const issues = only
    .filter(([key, plan]) => config[camel(key)] !== null && decodePlan !== plan)
    .map(([key, plan]) => ({
      path: [key],
      message: `expected no ${key} with decode_plan: ${decodePlan}, found ${config[camel(key)]}: it belongs to decode_plan: ${plan}`,
    }));
  if (Number(decodeBucketShort) > Number(decodeBucketMid))
    issues.push({
      path: ["decode_bucket_mid"],
      message: `expected at least decode_bucket_short (${decodeBucketShort}), found ${decodeBucketMid}`,
    });
  return issues;
}

export const generateSchema: z.ZodType<GenerateConfig> = exactly<GenerateConfig>()(
  object(
    {
      max_new_tokens: positiveInt.default(64).describe("Most tokens to generate"),
      temperature: nonNegative.default(1).describe("0 is greedy"),
      top_k: positiveInt.nullable().default(null).describe("Sample among this many most likely tokens"),
      top_p: z.number().gt(0).max(1).nullable().default(null).describe("Nucleus sampling"),
      eos_token_id: nonNegativeInt.nullable().default(null).describe("Token that ends a sequence"),
      max_seq_len: positiveInt.default(2048).describe("Room of the cache in tokens"),
      cache_kind: z
        .union([kvCacheKindSchema, z.literal("auto")])
        .prefault("fp16")
        .describe("Storage of the KV cache"),
      cache_qblock: positiveInt.default(32).describe("Numbers per scale"),
      cache_residual_len: nonNegativeInt.default(0).describe("Newest tokens kept in fp16 besides"),
      cache_policy: kvCachePolicySchema.nullable().default(null).describe("Storage per tensor; beats cache_kind"),
      cache_budget_mb: positive.nullable().default(null).describe("auto: most MiB for the cache"),
      cache_auto_benchmark: z.boolean().default(false).describe("auto: measure the candidates"),
      cache_auto_bench_steps: positiveInt.default(8).describe("auto: decode steps measured"),
      cache_auto_bench_prompt_len: positiveInt.default(64).describe("auto: prompt length measured"),
      cache_fp16_prefix_layers: nonNegativeInt.default(0).describe("First layers that stay fp16"),
      cache_quality_max_delta_nll: positive.nullable().default(null).describe("auto: highest loss increase"),
      cache_quality_max_ppl_ratio: positive.nullable().default(null).describe("auto: highest perplexity ratio"),
      cache_quality_max_mean_kl: positive.nullable().default(null).describe("auto: highest mean KL(base, candidate)"),
      cache_quality_prompt_len: positiveInt.default(64).describe("auto: prompt length of the gates"),
      cache_quality_decode_steps: positiveInt.default(4).describe("auto: decode steps of the gates"),
      cache_plan_path: text.nullable().default(null).describe("auto: file that keeps decisions"),
      cache_plan_probe: z.boolean().default(false).describe("auto: test kept decisions again"),
      cache_plan_probe_interval_sec: nonNegative.default(3600).describe("auto: seconds between tests"),
      use_diffusion: z.boolean().default(false).describe("Sample with the diffusion head"),
      diffusion_guidance_scale: nonNegative.nullable().default(null).describe("Guidance of that head"),
      decode_plan: z
        .enum(["auto", "fixed", "none"])
        .default("auto")
        .describe("Prompt pieces and windows: auto by context length, fixed, or none (the layers' own)"),
      decode_q_chunk: positiveInt
        .nullable()
        .default(null)
        .describe("fixed: most tokens of a prompt scored at once; same result"),
      decode_local_window: positiveInt.nullable().default(null).describe("fixed: sliding window"),
      decode_bucket_short: positiveInt.default(512).describe("auto: up to here nothing changes"),
      decode_bucket_mid: positiveInt.default(2048).describe("auto: up to here the middle bucket"),
      decode_q_chunk_mid: positiveInt
        .default(128)
        .describe("auto: most tokens scored at once in the middle bucket; same result"),
      decode_q_chunk_long: positiveInt.default(64).describe("auto: and beyond"),
      decode_local_window_long: positiveInt.nullable().default(null).describe("auto: window beyond; default none"),
      repetition_penalty: positive.default(1).describe("1 is off"),
      stop_sequences: z.array(z.string().min(1)).default([]).describe("Texts that end a sequence"),
    },
    decodeRules,
  ),
);
