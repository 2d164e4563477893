// Everything about a list of benchmarks that can be known to be wrong before a model is trained or loaded.
import type {
  BenchmarkSpec,
  LatencyBenchmarkConfig,
  MemoryBenchmarkConfig,
  ModelRole,
  PerplexityBenchmarkConfig,
} from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import type { BaseBenchmark } from "./base-benchmark.ts";
import { supportedStorage } from "./latency.ts";

/** A benchmark as a manifest names it; types beyond the manifest's own come from `extra`. */
export interface AnyBenchmarkSpec {
  readonly id: string;
  readonly config: BenchmarkSpec["config"] | { readonly type: string };
  readonly models: readonly ModelRole[];
  readonly repeats: number;
}

/** Makes a benchmark of a type of your own from its config. */
export type BenchmarkFactory = (config: { readonly type: string }, benchmarkId: string) => BaseBenchmark;

/** What decides whether a list of benchmarks can run. */
export interface CheckOptions {
  /** Benchmarks of your own by `type`; they also replace built-in types. */
  readonly extra?: Readonly<Record<string, BenchmarkFactory>>;
  /** Whether the target has tokens of its own. */
  readonly hasTokens: boolean;
  /** Whether checkpoints can be loaded. */
  readonly canLoadCheckpoints: boolean;
}

/** Configs of the types that are built in. */
export type BuiltConfig = PerplexityBenchmarkConfig | LatencyBenchmarkConfig | MemoryBenchmarkConfig;

const BUILT: readonly string[] = ["perplexity", "latency", "memory"];

/** Whether a spec is run by this package itself. */
export function isBuilt(spec: AnyBenchmarkSpec, extra: CheckOptions["extra"] = {}): boolean {
  return BUILT.includes(spec.config.type) && !(spec.config.type in extra);
}

/**
 * Checks benchmarks before anything runs.
 * Errors: CarambaError `unsupported` (a type, cache kind or checkpoint that cannot be measured yet), `benchmark` (an id
 * that is there twice, no tokens to measure on).
 */
export function checkBenchmarks(specs: readonly AnyBenchmarkSpec[], options: CheckOptions): void {
  const { extra = {}, hasTokens, canLoadCheckpoints } = options;
  const ids = new Set<string>();
  for (const spec of specs) {
    const { id, config } = spec;
    if (ids.has(id))
      throw new CarambaError(`there are two benchmarks "${id}"`, { code: "benchmark", remedy: "rename one of them" });
    ids.add(id);
    if (config.type in extra) continue;
    if (!BUILT.includes(config.type))
      throw new CarambaError(`benchmark "${id}": type ${config.type} is not supported yet`, {
        code: "unsupported",
        remedy: `use ${[...BUILT, ...Object.keys(extra)].join(", ")}, or pass a benchmark of your own as extra.${config.type}`,
      });
    const known = config as BuiltConfig;
    if (known.checkpoint !== null && !canLoadCheckpoints)
      throw new CarambaError(`benchmark "${id}": checkpoint is not supported here`, {
        code: "unsupported",
        remedy: "leave checkpoint out to measure the target's models, or pass loadCheckpoint",
      });
    if (known.type === "latency") supportedStorage(known);
    if (known.type === "perplexity" && known.dataset === null && !hasTokens)
      throw new CarambaError(`benchmark "${id}" has no text to measure on`, {
        code: "benchmark",
        remedy: "set dataset to a token file",
      });
  }
}
