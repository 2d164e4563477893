// Runs the benchmarks of a target and gathers their rows.
import { resolve } from "node:path";
import type { ModelRole } from "@caramba/config";
import { openTokens, type TokenSource, type TokenSplit } from "@caramba/data";
import { type PairedRatio, pairedPerplexityRatio } from "@caramba/eval";
import type { Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";
import { mean } from "simple-statistics";
import type { BenchmarkResult } from "./base-benchmark.ts";
import {
  type AnyBenchmarkSpec,
  type BenchmarkFactory,
  type BuiltConfig,
  checkBenchmarks,
  isBuilt,
} from "./check-benchmarks.ts";
import { compareLatency, latencyWarnings } from "./latency.ts";
import { MemoryBenchmark } from "./memory.ts";
import { PerplexityBenchmark, type PerplexityResult, perplexityRow } from "./perplexity.ts";
import type { LatencyRow, MemoryRow, PerplexityRow } from "./rows.ts";
import { deviation } from "./statistics.ts";

/** How far a benchmark is; counted in requests, rows or models, whatever it measures. */
export interface BenchmarkProgress {
  readonly benchmark: string;
  readonly type: string;
  readonly done: number;
  readonly total: number;
}

/** What benchmarks of a target work on. */
export interface BenchmarkContext {
  /** A model that is not there is reported as skipped. */
  readonly models: { readonly [role in ModelRole]?: Model | null };
  readonly backend: Backend;
  /** The target's own tokens. */
  readonly tokens?: TokenSource | null;
  /** Their training and held-out parts. */
  readonly split?: TokenSplit | null;
  /** What the manifest calls them (data.path): a benchmark whose dataset says the same measures their held-out part. */
  readonly dataPath?: string | null;
  /** Key of random prompts; default 0. */
  readonly seed?: number;
  /** Loads what `checkpoint` names. */
  readonly loadCheckpoint?: (path: string) => Promise<Model>;
  /** Benchmarks of your own by `type`. */
  readonly extra?: Readonly<Record<string, BenchmarkFactory>>;
  /** Clock of latencies, ms. */
  readonly now?: () => number;
  readonly onProgress?: (progress: BenchmarkProgress) => void;
  /** Ends the run after the request, row or model that is being measured, by throwing its reason. */
  readonly signal?: AbortSignal;
}

/** What became of one benchmark on one model. */
export interface BenchmarkEntry {
  readonly benchmark: string;
  readonly type: string;
  readonly model: string;
  readonly status: "done" | "skipped";
  /** Why it was skipped. */
  readonly message: string | null;
  /** Metrics of benchmarks of your own: means over repeats, and `<name>_std` where there are several. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** A paired comparison and the benchmark it belongs to. */
export interface BenchmarkComparison extends PairedRatio {
  readonly benchmark: string;
  readonly numTokens: number;
}

/** Everything that was measured. */
export interface BenchmarkResults {
  readonly perplexity: readonly PerplexityRow[];
  /** Student against teacher, of the perplexity benchmark with most tokens; null when none had both. */
  readonly comparison: BenchmarkComparison | null;
  readonly comparisons: readonly BenchmarkComparison[];
  readonly latency: readonly LatencyRow[];
  readonly memory: readonly MemoryRow[];
  /** One for each benchmark and model, in order. */
  readonly entries: readonly BenchmarkEntry[];
  readonly warnings: readonly string[];
}

type Named = Readonly<Record<string, Model>>;

class Runner {
  readonly perplexity: PerplexityRow[] = [];
  readonly comparisons: BenchmarkComparison[] = [];
  readonly latency: LatencyRow[] = [];
  readonly memory: MemoryRow[] = [];
  readonly entries: BenchmarkEntry[] = [];
  readonly warnings: string[] = [];
  readonly #context: BenchmarkContext;

  constructor(context: BenchmarkContext) {
    this.#context = context;
  }

  async run(spec: AnyBenchmarkSpec): Promise<void> {
    const models = await this.#modelsOf(spec);
    if (Object.keys(models).length === 0) return;
    if (!isBuilt(spec, this.#context.extra)) return this.#runExtra(spec, models);
    const config = spec.config as BuiltConfig;
    switch (config.type) {
      case "perplexity":
        await this.#runPerplexity(spec, config, models);
        break;
      case "latency": {
        const { backend, seed = 0, now } = this.#context;
        const { checkpoint: _checkpoint, type: _type, ...options } = config;
        const rows = await compareLatency(models, backend, {
          ...options,
          repeats: spec.repeats,
          seed,
          benchmarkId: spec.id,
          onProgress: this.#progress(spec),
          ...(now ? { now } : {}),
        });
        this.latency.push(...rows);
        this.#warn(spec, latencyWarnings(rows));
        break;
      }
      case "memory":
        await this.#runMemory(spec, config, models);
        break;
      default:
        config satisfies never;
    }
    for (const model of Object.keys(models)) this.#enter(spec, model, "done", null);
  }

  async #runPerplexity(
    spec: AnyBenchmarkSpec,
    config: Extract<BuiltConfig, { type: "perplexity" }>,
    models: Named,
  ): Promise<void> {
    const { source, split, close } = this.#text(config.dataset);
    const { blockSize, batchSize, numBatches, stride, validVocabSize } = config;
    const results: Record<string, PerplexityResult> = {};
    try {
      for (const [name, model] of Object.entries(models)) {
        const benchmark = new PerplexityBenchmark({
          tokens: source,
          ...(split ? { parts: split } : {}),
          split: config.split,
          blockSize,
          batchSize,
          numBatches,
          stride,
          validVocabSize,
          repeats: spec.repeats,
          benchmarkId: spec.id,
        });
        this.#context.signal?.throwIfAborted();
        const result = await benchmark.run(model, this.#context.backend, name);
        results[name] = result;
        this.perplexity.push(perplexityRow(result));
        this.#warn(spec, result.warnings);
        this.#progress(spec)(Object.keys(results).length, Object.keys(models).length);
      }
    } finally {
      close();
    }
    const { teacher, student } = results;
    if (!teacher || !student) return;
    if (teacher.windowSums.length < 2) {
      this.#warn(spec, ["one window has no spread: there is no interval for the perplexity ratio"]);
      return;
    }
    const ratio = pairedPerplexityRatio(teacher.windowSums, student.windowSums, student.tokensPerWindow);
    this.comparisons.push({ ...ratio, benchmark: spec.id, numTokens: student.numTokens });
  }

  async #runMemory(
    spec: AnyBenchmarkSpec,
    config: Extract<BuiltConfig, { type: "memory" }>,
    models: Named,
  ): Promise<void> {
    const { checkpoint: _checkpoint, type: _type, ...options } = config;
    const { seed = 0, backend, signal } = this.#context;
    const names = Object.keys(models);
    for (const [index, name] of names.entries()) {
      signal?.throwIfAborted();
      const onProgress = (done: number, total: number): void =>
        this.#progress(spec)(index * total + done, names.length * total);
      const benchmark = new MemoryBenchmark({
        ...options,
        repeats: spec.repeats,
        seed,
        benchmarkId: spec.id,
        onProgress,
      });
      const { rows, warnings } = await benchmark.run(models[name] as Model, backend, name);
      this.memory.push(...rows);
      this.#warn(spec, warnings);
    }
  }

  async #runExtra(spec: AnyBenchmarkSpec, models: Named): Promise<void> {
    const factory = this.#context.extra?.[spec.config.type] as BenchmarkFactory;
    const names = Object.keys(models);
    for (const [index, name] of names.entries()) {
      const runs: BenchmarkResult[] = [];
      for (let repeat = 0; repeat < spec.repeats; repeat++) {
        this.#context.signal?.throwIfAborted();
        runs.push(await factory(spec.config, spec.id).run(models[name] as Model, this.#context.backend, name));
        this.#progress(spec)(index * spec.repeats + repeat + 1, names.length * spec.repeats);
      }
      const metrics: Record<string, number> = {};
      for (const key of new Set(runs.flatMap((run) => Object.keys(run.metrics)))) {
        const values = runs.flatMap((run) => run.metrics[key] ?? []);
        metrics[key] = mean(values);
        const spread = deviation(values);
        if (spread !== null) metrics[`${key}_std`] = spread;
      }
      this.#enter(spec, name, "done", null, metrics);
      this.#warn(
        spec,
        runs.flatMap((run) => run.warnings ?? []),
      );
    }
  }

  /** The models that a spec names; those that are not there become skipped entries. */
  async #modelsOf(spec: AnyBenchmarkSpec): Promise<Named> {
    const path = isBuilt(spec, this.#context.extra) ? (spec.config as BuiltConfig).checkpoint : null;
    if (path !== null && this.#context.loadCheckpoint) return { [path]: await this.#context.loadCheckpoint(path) };
    const found: Record<string, Model> = {};
    for (const role of spec.models) {
      const model = this.#context.models[role];
      if (model) found[role] = model;
      else {
        const message = `there is no ${role} to measure`;
        this.#enter(spec, role, "skipped", message);
        this.#warn(spec, [message]);
      }
    }
    return found;
  }

  /** The text of a perplexity benchmark: the target's own with its parts, or another file, all of it. */
  #text(dataset: string | null): { source: TokenSource; split: TokenSplit | null; close: () => void } {
    const { tokens, split = null, dataPath } = this.#context;
    const own =
      tokens &&
      (dataset === null ||
        dataset === dataPath ||
        resolve(dataset) === resolve(tokens.path) ||
        resolve("data", dataset) === resolve(tokens.path));
    if (tokens && own) return { source: tokens, split, close: () => undefined };
    const source = openTokens(dataset as string);
    return { source, split: null, close: () => source.close() };
  }

  /** Also where a run can be ended: benchmarks report after every request or row. */
  #progress(spec: AnyBenchmarkSpec): (done: number, total: number) => void {
    return (done, total) => {
      this.#context.onProgress?.({ benchmark: spec.id, type: spec.config.type, done, total });
      this.#context.signal?.throwIfAborted();
    };
  }

  #enter(
    spec: AnyBenchmarkSpec,
    model: string,
    status: BenchmarkEntry["status"],
    message: string | null,
    metrics: Readonly<Record<string, number>> = {},
  ): void {
    this.entries.push({ benchmark: spec.id, type: spec.config.type, model, status, message, metrics });
  }

  #warn(spec: AnyBenchmarkSpec, messages: readonly string[]): void {
    for (const message of messages) {
      const text = `${spec.id}: ${message}`;
      if (!this.warnings.includes(text)) this.warnings.push(text);
    }
  }
}

/**
 * Runs benchmarks one after the other. Repeats are pooled and their spread is in the rows.
 * Errors: those of `checkBenchmarks`, before anything runs; those of the benchmarks; the signal's reason.
 */
export async function runBenchmarks(
  specs: readonly AnyBenchmarkSpec[],
  context: BenchmarkContext,
): Promise<BenchmarkResults> {
  checkBenchmarks(specs, {
    ...(context.extra ? { extra: context.extra } : {}),
    hasTokens: Boolean(context.tokens),
    canLoadCheckpoints: context.loadCheckpoint !== undefined,
  });
  const runner = new Runner(context);
  for (const spec of specs) {
    context.signal?.throwIfAborted();
    await runner.run(spec);
  }
  const { perplexity, comparisons, latency, memory, entries, warnings } = runner;
  const comparison = comparisons.reduce<BenchmarkComparison | null>(
    (best, each) => (best === null || each.numTokens > best.numTokens ? each : best),
    null,
  );
  return { perplexity, comparison, comparisons, latency, memory, entries, warnings };
}
