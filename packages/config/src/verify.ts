/** Verification of a student against its teacher after a run: four kinds, all with `fail_fast` (default false). */
import { z } from "zod";
import { type EvalCase, evalCaseSchema, type TokenizerConfig, tokenizerSchema } from "./eval-case.ts";
import { type KVCachePolicyConfig, kvCachePolicySchema } from "./kvcache.ts";
import {
  exactly,
  nonNegative,
  object,
  positive,
  positiveInt,
  probability,
  type RuleIssue,
  variants,
} from "./schema.ts";

/** Highest accepted mean and maximum over (batch, layer) of per-batch mean |teacher - student|. */
export interface L1Thresholds {
  maxMeanL1: number | null;
  maxMaxL1: number | null;
}

/** Attention outputs and logits on the same inputs. */
export interface CompareVerifyConfig {
  type: "compare";
  batches: number;
  attention: L1Thresholds | null;
  logits: L1Thresholds | null;
  failFast: boolean;
}

/** Losses on held-out text; delta = student - teacher (nats per token), ratio = exp(delta). */
export interface FidelityVerifyConfig {
  type: "fidelity";
  batches: number;
  blockSize: number | null;
  batchSize: number | null;
  split: "auto" | "train" | "val";
  maxDeltaNll: number | null;
  maxPplRatio: number | null;
  failFast: boolean;
}

/** Question and answer cases; drop = teacher accuracy - student accuracy. */
export interface EvalVerifyConfig {
  type: "eval";
  tokenizer: TokenizerConfig;
  maxNewTokens: number;
  contextWindow: number | null;
  cases: EvalCase[];
  thresholds: { minStudentAccuracy: number; maxAccuracyDrop: number };
  failFast: boolean;
}

/** Cache bytes of both; ratio = teacher / student. */
export interface KVCacheVerifyConfig {
  type: "kvcache";
  nLayers: number | null;
  batchSize: number;
  maxSeqLen: number;
  teacher: KVCachePolicyConfig;
  student: KVCachePolicyConfig;
  minReductionRatio: number | null;
  failFast: boolean;
}

export type VerifyConfig = CompareVerifyConfig | FidelityVerifyConfig | EvalVerifyConfig | KVCacheVerifyConfig;

const fail_fast = z.boolean().default(false).describe("A violation ends the run; otherwise it is reported");

const l1 = exactly<L1Thresholds>()(
  object(
    {
      max_mean_l1: nonNegative.nullable().default(null).describe("Highest mean L1"),
      max_max_l1: nonNegative.nullable().default(null).describe("Highest L1 of any batch and layer"),
    },
    (value) => oneOf(["max_mean_l1", value.maxMeanL1], ["max_max_l1", value.maxMaxL1]),
  ),
)
  .nullable()
  .default(null);

const compare = exactly<CompareVerifyConfig>()(
  object(
    {
      type: z.literal("compare"),
      batches: positiveInt.describe("Batches compared"),
      attention: l1.describe("Thresholds on attention outputs"),
      logits: l1.describe("Thresholds on logits"),
      fail_fast,
    },
    (value) => oneOf(["attention", value.attention], ["logits", value.logits]),
  ),
);

const fidelity = exactly<FidelityVerifyConfig>()(
  object(
    {
      type: z.literal("fidelity"),
      batches: positiveInt.describe("Batches measured"),
      block_size: positiveInt.nullable().default(null).describe("Tokens per window; default the run's"),
      batch_size: positiveInt.nullable().default(null).describe("Windows per batch; default the run's"),
      split: z
        .enum(["auto", "train", "val"])
        .default("auto")
        .describe("Which part of the data; auto: val if there is one"),
      max_delta_nll: z.number().nullable().default(null).describe("Highest student minus teacher loss"),
      max_ppl_ratio: positive.nullable().default(null).describe("Highest student to teacher perplexity ratio"),
      fail_fast,
    },
    (value) => oneOf(["max_delta_nll", value.maxDeltaNll], ["max_ppl_ratio", value.maxPplRatio]),
  ),
);

const evaluation = exactly<EvalVerifyConfig>()(
  object({
    type: z.literal("eval"),
    tokenizer: tokenizerSchema.describe("How prompts become tokens"),
    max_new_tokens: positiveInt.describe("Longest greedy answer"),
    context_window: positiveInt.nullable().default(null).describe("Score with the last this many tokens only"),
    cases: z.array(evalCaseSchema).min(1).describe("Prompts with known answers"),
    thresholds: object({
      min_student_accuracy: probability.describe("Lowest accepted share of correct answers"),
      max_accuracy_drop: z.number().min(-1).max(1).describe("Highest accepted teacher minus student accuracy"),
    }).describe("What counts as passed"),
    fail_fast,
  }),
);

const kvcache = exactly<KVCacheVerifyConfig>()(
  object({
    type: z.literal("kvcache"),
    n_layers: positiveInt.nullable().default(null).describe("Attention layers; default the model's"),
    batch_size: positiveInt.default(1).describe("Sequences"),
    max_seq_len: positiveInt.describe("Tokens per sequence"),
    teacher: kvCachePolicySchema.prefault({}).describe("Storage of the teacher's cache; default fp16"),
    student: kvCachePolicySchema.prefault({}).describe("Storage of the student's cache; default fp16"),
    min_reduction_ratio: positive.nullable().default(null).describe("Lowest accepted teacher to student ratio"),
    fail_fast,
  }),
);

export const verifySchema: z.ZodType<VerifyConfig> = variants("type", [compare, fidelity, evaluation, kvcache]);

function oneOf(...fields: (readonly [string, unknown])[]): RuleIssue[] {
  if (fields.some(([, value]) => value !== null)) return [];
  return [{ path: [], message: `expected at least one of ${fields.map(([key]) => key).join(" and ")}, found neither` }];
}
