/**
 * Benchmarks of a target: what is measured, on which models, how often. A spec without `config` names a custom suite
 * (a YAML file of prompts). Where the two generations of documents differ, a default of the guide wins; a list that
 * the guide calls required has the code's default.
 */
import { z } from "zod";
import { type TokenizerConfig, tokenizerSchema } from "./eval-case.ts";
import { type KVCacheKind, type KVCachePolicyConfig, kvCacheKindSchema, kvCachePolicySchema } from "./kvcache.ts";
import {
  exactly,
  nonNegative,
  nonNegativeInt,
  object,
  positive,
  positiveInt,
  probability,
  text,
  variants,
} from "./schema.ts";

interface Common {
  /** Measure this checkpoint instead of the target's models. */
  checkpoint: string | null;
}

/** exp(mean loss) on held-out, non-overlapping windows. */
export interface PerplexityBenchmarkConfig extends Common {
  type: "perplexity";
  /** null: the target's own data. After lowering null only when the target has no path either. */
  dataset: string | null;
  blockSize: number;
  batchSize: number;
  /** null: all windows. */
  numBatches: number | null;
  /** Tokens between windows; null: blockSize (no overlap). */
  stride: number | null;
  split: "auto" | "train" | "val" | "all";
  validVocabSize: number | null;
}

/** Prefill and decode times over prompt length x generation length x batch size. */
export interface LatencyBenchmarkConfig extends Common {
  type: "latency";
  promptLengths: number[];
  generationLengths: number[];
  batchSizes: number[];
  warmupRuns: number;
  timedRuns: number;
  useCache: boolean;
  cacheKind: KVCacheKind;
  cachePolicy: KVCachePolicyConfig | null;
  validVocabSize: number | null;
}

/** Cache bytes and peak memory over sequence length x batch size x storage kind. */
export interface MemoryBenchmarkConfig extends Common {
  type: "memory";
  sequenceLengths: number[];
  batchSizes: number[];
  measurePeak: boolean;
  measureKvcache: boolean;
  quantizationModes: KVCacheKind[];
  validVocabSize: number | null;
}

/** Multiple-choice tasks by log probability. */
export interface AccuracyBenchmarkConfig extends Common {
  type: "accuracy";
  tasks: string[];
  tokenizer: TokenizerConfig;
  numFewshot: number;
  limit: number | null;
  contextWindow: number | null;
  printExamples: number;
  printOnlyIncorrect: boolean;
  printMaxChars: number;
  streamLive: boolean;
  streamEvery: number;
  logFile: string;
}

/** Completions of a prompts file with degeneration statistics. */
export interface GenerationBenchmarkConfig extends Common {
  type: "generation";
  promptsFile: string;
  maxNewTokens: number;
  temperature: number;
  topP: number;
  repetitionPenalty: number;
  tokenizer: TokenizerConfig | null;
  targetText: string | null;
  stop: string[];
}

/** Eval cases on both models. */
export interface BehaviorBenchmarkConfig extends Common {
  type: "behavior";
  tokenizer: TokenizerConfig;
  casesFile: string;
  maxNewTokens: number;
  contextWindow: number | null;
}

/** Prefill and decode at growing context. */
export interface ContextBenchmarkConfig extends Common {
  type: "context";
  dataset: string | null;
  contextLengths: number[];
  chunkSize: number;
  maxMaskElems: number;
  batchSize: number;
  decodeLen: number;
  decodeWarmup: number;
  cacheKind: KVCacheKind;
  cachePolicy: KVCachePolicyConfig | null;
  validVocabSize: number | null;
}

/** A custom suite: prompts with pass criteria in a YAML file found by its name; a spec without `config` means its id. */
export interface SuiteBenchmarkConfig {
  type: "suite";
  suite: string;
}

export type BenchmarkConfig =
  | PerplexityBenchmarkConfig
  | LatencyBenchmarkConfig
  | MemoryBenchmarkConfig
  | AccuracyBenchmarkConfig
  | GenerationBenchmarkConfig
  | BehaviorBenchmarkConfig
  | ContextBenchmarkConfig
  | SuiteBenchmarkConfig;

export type BenchmarkType = BenchmarkConfig["type"];
export type ModelRole = "teacher" | "student";

/** One benchmark of a target. */
export interface BenchmarkSpec {
  id: string;
  config: BenchmarkConfig;
  models: ModelRole[];
  repeats: number;
}

const lengths = z.array(positiveInt).min(1);
const checkpoint = text.nullable().default(null).describe("Measure this checkpoint instead of the target's models");
const valid_vocab_size = positiveInt.nullable().default(null).describe("Ids from here on are padding of the table");
const cache_kind = kvCacheKindSchema.prefault("fp16").describe("Storage of the KV cache");
const cache_policy = kvCachePolicySchema
  .nullable()
  .default(null)
  .describe("Storage per cached tensor; beats cache_kind");
const batch_sizes = lengths.default([1]).describe("Sequences per batch");
const context_window = positiveInt.nullable().default(null).describe("Score with the last this many tokens only");
const dataset = text.nullable().default(null).describe("Path of the tokens; default the target's data");

export const perplexityBenchmarkSchema: z.ZodType<PerplexityBenchmarkConfig> = exactly<PerplexityBenchmarkConfig>()(
  object({
    type: z.literal("perplexity"),
    dataset,
    block_size: positiveInt.default(2048).describe("Tokens per window"),
    batch_size: positiveInt.default(1).describe("Windows per batch"),
    num_batches: positiveInt.nullable().default(100).describe("Batches measured; null is all"),
    stride: positiveInt.nullable().default(null).describe("Tokens between windows; default block_size, no overlap"),
    split: z
      .enum(["auto", "train", "val", "all"])
      .default("auto")
      .describe("Part of the data; auto: the held-out part of the target's data, the whole of any other file"),
    valid_vocab_size,
    checkpoint,
  }),
);

export const latencyBenchmarkSchema: z.ZodType<LatencyBenchmarkConfig> = exactly<LatencyBenchmarkConfig>()(
  object({
    type: z.literal("latency"),
    prompt_lengths: lengths.default([128, 512, 1024, 2048]).describe("Prompt lengths in tokens"),
    generation_lengths: lengths.default([128, 256, 512]).describe("Tokens to generate"),
    batch_sizes,
    warmup_runs: nonNegativeInt.default(3).describe("Runs not counted"),
    timed_runs: positiveInt.default(10).describe("Runs counted"),
    use_cache: z.boolean().default(true).describe("Decode with the KV cache"),
    cache_kind,
    cache_policy,
    valid_vocab_size,
    checkpoint,
  }),
);

export const memoryBenchmarkSchema: z.ZodType<MemoryBenchmarkConfig> = exactly<MemoryBenchmarkConfig>()(
  object({
    type: z.literal("memory"),
    sequence_lengths: lengths.default([512, 1024, 2048, 4096]).describe("Sequence lengths in tokens"),
    batch_sizes,
    measure_peak: z.boolean().default(true).describe("Measure peak memory"),
    measure_kvcache: z.boolean().default(true).describe("Measure the KV cache"),
    quantization_modes: z.array(kvCacheKindSchema).min(1).default(["fp16"]).describe("Storage kinds of the cache"),
    valid_vocab_size,
    checkpoint,
  }),
);

const accuracy = exactly<AccuracyBenchmarkConfig>()(
  object({
    type: z.literal("accuracy"),
    tasks: z.array(text).min(1).describe("hellaswag, piqa, winogrande, arc_easy, arc_challenge, boolq"),
    tokenizer: tokenizerSchema.prefault({ type: "tiktoken" }).describe("How prompts become tokens"),
    num_fewshot: nonNegativeInt.default(0).describe("Solved examples before each question"),
    limit: positiveInt.nullable().default(null).describe("Questions per task; default all"),
    context_window,
    print_examples: nonNegativeInt.default(0).describe("Examples shown"),
    print_only_incorrect: z.boolean().default(true).describe("Show mistakes only"),
    print_max_chars: positiveInt.default(240).describe("Length of a shown example"),
    stream_live: z.boolean().default(true).describe("Show progress"),
    stream_every: positiveInt.default(1).describe("Questions between progress lines"),
    log_file: text.default("accuracy_log.txt").describe("Log inside the artifacts"),
    checkpoint,
  }),
);

const generation = exactly<GenerationBenchmarkConfig>()(
  object({
    type: z.literal("generation"),
    prompts_file: text.describe("YAML list of prompts"),
    max_new_tokens: positiveInt.default(256).describe("Longest completion"),
    temperature: nonNegative.default(1).describe("0 is greedy"),
    top_p: probability.default(1).describe("Nucleus sampling; 1 is off"),
    repetition_penalty: positive.default(1).describe("1 is off"),
    tokenizer: tokenizerSchema.nullable().default(null).describe("Default the target's"),
    target_text: z.string().nullable().default(null).describe("Expected completion"),
    stop: z.array(z.string().min(1)).default([]).describe("Texts that end a completion"),
    checkpoint,
  }),
);

const behavior = exactly<BehaviorBenchmarkConfig>()(
  object({
    type: z.literal("behavior"),
    tokenizer: tokenizerSchema.describe("How prompts become tokens"),
    cases_file: text.describe("YAML list of eval cases"),
    max_new_tokens: positiveInt.default(32).describe("Longest greedy answer"),
    context_window,
    checkpoint,
  }),
);

const context = exactly<ContextBenchmarkConfig>()(
  object({
    type: z.literal("context"),
    dataset,
    context_lengths: lengths.default([2048, 4096, 8192, 16384, 32768]).describe("Context lengths in tokens"),
    chunk_size: positiveInt.default(1024).describe("Tokens per prefill step"),
    max_mask_elems: positiveInt.default(16_000_000).describe("Bound on chunk x context"),
    batch_size: positiveInt.default(1).describe("Sequences per batch"),
    decode_len: positiveInt.default(128).describe("Tokens decoded"),
    decode_warmup: nonNegativeInt.default(8).describe("Decode steps not counted"),
    cache_kind,
    cache_policy,
    valid_vocab_size,
    checkpoint,
  }),
);

const suite = exactly<SuiteBenchmarkConfig>()(
  object({ type: z.literal("suite"), suite: text.describe("Name of the suite's file") }),
);

/** The `config` of a benchmark. */
export const benchmarkConfigSchema: z.ZodType<BenchmarkConfig> = variants("type", [
  perplexityBenchmarkSchema,
  latencyBenchmarkSchema,
  memoryBenchmarkSchema,
  accuracy,
  generation,
  behavior,
  context,
  suite,
]);

export const benchmarkSpecSchema: z.ZodType<BenchmarkSpec> = object({
  id: text.describe("Name of the benchmark in reports; without config, the suite"),
  config: benchmarkConfigSchema.nullable().default(null).describe("What is measured; none: a custom suite"),
  models: z
    .array(z.enum(["teacher", "student"]))
    .min(1)
    .default(["teacher", "student"])
    .describe("Which models"),
  repeats: positiveInt.default(1).describe("Independent repetitions"),
}).transform((spec) => ({ ...spec, config: spec.config ?? { type: "suite" as const, suite: spec.id } }));
