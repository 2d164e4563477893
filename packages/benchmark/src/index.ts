// Public entry of @caramba/benchmark.
export { BaseBenchmark, type BenchmarkResult, type Device } from "./base-benchmark.ts";
export {
  type AnyBenchmarkSpec,
  type BenchmarkFactory,
  type CheckOptions,
  checkBenchmarks,
} from "./check-benchmarks.ts";
export { compareLatency, LatencyBenchmark, type LatencyBenchmarkOptions, type LatencyResult } from "./latency.ts";
export { MemoryBenchmark, type MemoryBenchmarkOptions, type MemoryResult, modelBytes } from "./memory.ts";
export { type ModelFacts, modelFacts } from "./model-facts.ts";
export { type PeakMemory, peakMemory } from "./peak-memory.ts";
export { PerplexityBenchmark, type PerplexityBenchmarkOptions, type PerplexityResult } from "./perplexity.ts";
export { QuickBenchmark, type QuickResult } from "./quick.ts";
export type { LatencyRow, MemoryRow, PerplexityRow } from "./rows.ts";
export {
  type BenchmarkComparison,
  type BenchmarkContext,
  type BenchmarkEntry,
  type BenchmarkProgress,
  type BenchmarkResults,
  runBenchmarks,
} from "./run-benchmarks.ts";
export { percentile } from "./statistics.ts";
export { type TextPart, type WindowReaderOptions, windowReader } from "./text-windows.ts";
