/** Verification, benchmark and generation configs from TypeScript: the counterpart of from-code.ts for running. */
import {
  type BenchmarkSpec,
  benchmarkSpecSchema,
  type LatencyBenchmarkConfig,
  latencyBenchmarkSchema,
  type MemoryBenchmarkConfig,
  memoryBenchmarkSchema,
  type PerplexityBenchmarkConfig,
  perplexityBenchmarkSchema,
} from "./benchmark.ts";
import { type Defaulted, fromCode } from "./fill-in.ts";
import { type GenerateConfig, generateSchema } from "./generate.ts";
import type { KVCacheKind } from "./kvcache.ts";
import { type VerifyConfig, verifySchema } from "./verify.ts";

/** A storage kind as a person may write it. */
export type KVCacheKindInput = KVCacheKind | "q8" | "q4";

export type PerplexityBenchmarkInput = Defaulted<Omit<PerplexityBenchmarkConfig, "type">, never>;
export type LatencyBenchmarkInput = Defaulted<Omit<LatencyBenchmarkConfig, "type" | "cacheKind">, never> & {
  cacheKind?: KVCacheKindInput | undefined;
};
export type MemoryBenchmarkInput = Defaulted<Omit<MemoryBenchmarkConfig, "type" | "quantizationModes">, never> & {
  quantizationModes?: readonly KVCacheKindInput[] | undefined;
};
export type GenerateInput = Defaulted<Omit<GenerateConfig, "cacheKind">, never> & {
  cacheKind?: KVCacheKindInput | "auto" | undefined;
};

type DistributedPartial<T> = T extends { type: string } ? Pick<T, "type"> & Partial<Omit<T, "type">> : never;

/** A verification by `type` and the fields it needs; what is missing is reported at run time. */
export type VerifyInput = DistributedPartial<VerifyConfig>;
export type BenchmarkSpecInput = Defaulted<Omit<BenchmarkSpec, "config">, "id"> & {
  config?: DistributedPartial<BenchmarkSpec["config"]> | undefined;
};

export function perplexityBenchmarkConfig(input: PerplexityBenchmarkInput = {}): PerplexityBenchmarkConfig {
  return fromCode(perplexityBenchmarkSchema, "perplexity benchmark", { ...input, type: "perplexity" });
}

export function latencyBenchmarkConfig(input: LatencyBenchmarkInput = {}): LatencyBenchmarkConfig {
  return fromCode(latencyBenchmarkSchema, "latency benchmark", { ...input, type: "latency" });
}

export function memoryBenchmarkConfig(input: MemoryBenchmarkInput = {}): MemoryBenchmarkConfig {
  return fromCode(memoryBenchmarkSchema, "memory benchmark", { ...input, type: "memory" });
}

export function benchmarkSpec(input: BenchmarkSpecInput): BenchmarkSpec {
  return fromCode(benchmarkSpecSchema, `benchmark "${input.id}"`, input);
}

export function verifyConfig(input: VerifyInput): VerifyConfig {
  return fromCode(verifySchema, `${input.type} verification`, input);
}

export function generateConfig(input: GenerateInput = {}): GenerateConfig {
  return fromCode(generateSchema, "generate", input);
}
