// Latency: prefill and decode apart, over prompt length x generated length x batch size. Several models are measured in
// one session, run by run in turn, so that what the machine does meanwhile hits all of them alike.
import { type LatencyBenchmarkConfig, type LatencyBenchmarkInput, latencyBenchmarkConfig } from "@caramba/config";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError, Philox, streamOf } from "@caramba/tensor";
import { median } from "simple-statistics";
import { BaseBenchmark, type BenchmarkResult, checkRepeats, type Device, withBackend } from "./base-benchmark.ts";
import { openTimedModel, type Request, type RequestTimes, type TimedModel, timeRequest } from "./latency-request.ts";
import type { LatencyRow } from "./rows.ts";
import { deviation, percentile, RELIABLE_P99_SAMPLES } from "./statistics.ts";

/** What to time; names and defaults are those of the manifest. */
export interface LatencyBenchmarkOptions extends Omit<LatencyBenchmarkInput, "checkpoint"> {
  /** The whole measurement is done this often and pooled; default 1. */
  readonly repeats?: number;
  /** Key of the random prompts; default 0. */
  readonly seed?: number;
  /** Name in rows; default `latency`. */
  readonly benchmarkId?: string;
  /** Milliseconds of a clock that never goes back; default performance.now. */
  readonly now?: () => number;
  /** Called after every request, also those not counted. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Rows of one or more models; iterating gives the rows. */
export interface LatencyResult extends BenchmarkResult, Iterable<LatencyRow> {
  readonly rows: readonly LatencyRow[];
  readonly warnings: readonly string[];
}

interface Cell {
  readonly promptLen: number;
  readonly genLen: number;
  readonly batchSize: number;
}

/** Timed runs of one model in one cell; each repeat's together. */
type Samples = RequestTimes[][];

/** Cache storage that is built. Errors: CarambaError `unsupported` for the others. */
export function supportedStorage(
  config: Pick<LatencyBenchmarkConfig, "cacheKind" | "cachePolicy" | "useCache">,
): "fp32" | "fp16" | null {
  const { cacheKind, cachePolicy, useCache } = config;
  if (!useCache) return null;
  if (cachePolicy !== null)
    throw new CarambaError("latency benchmark: cache_policy is not supported yet", {
      code: "unsupported",
      remedy: "leave it out and set cache_kind to fp16 or fp32",
    });
  if (cacheKind !== "fp16" && cacheKind !== "fp32")
    throw new CarambaError(`latency benchmark: cache kind ${cacheKind} is not supported yet`, {
      code: "unsupported",
      remedy: "set cache_kind to fp16 or fp32",
    });
  return cacheKind;
}

/** The prompt of a cell: depends on the seed and the cell's sizes alone, so it is the same for every model. */
export function seededPrompt(seed: number, cell: Cell, vocabSize: number): Int32Array {
  const random = new Philox(seed, streamOf(`benchmark/latency/${cell.promptLen}/${cell.batchSize}`));
  return Int32Array.from({ length: cell.promptLen * cell.batchSize }, () => random.below(vocabSize));
}

/** Measures one cell for all models in turn; every other round goes backwards, so that no model always comes first. */
export async function measureCell(
  models: readonly TimedModel[],
  request: Request,
  options: { warmupRuns: number; timedRuns: number; now: () => number; onRequest?: () => void },
): Promise<RequestTimes[][]> {
  const times: RequestTimes[][] = models.map(() => []);
  for (let round = -options.warmupRuns; round < options.timedRuns; round++) {
    const order = models.map((_, i) => (round % 2 === 0 ? i : models.length - 1 - i));
    for (const index of order) {
      const time = await timeRequest(models[index] as TimedModel, request, options.now);
      if (round >= 0) times[index]?.push(time);
      options.onRequest?.();
    }
  }
  return times;
}

const perSecond = (tokens: number, ms: number): number | null => (ms > 0 && tokens > 0 ? (tokens / ms) * 1000 : null);
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Turns the pooled runs of a cell into its row. */
export function latencyRow(
  cell: Cell,
  samples: Samples,
  about: Pick<LatencyRow, "model" | "cacheKind" | "useCache" | "benchmark">,
): LatencyRow {
  const { promptLen, genLen, batchSize } = cell;
  const runs = samples.flat();
  const middle = (of: (run: RequestTimes) => number): number => median(runs.map(of));
  const steps = runs.flatMap((run) => run.stepMs);
  const totals = runs.map((run) => run.totalMs);
  const prefillMs = middle((run) => run.prefillMs);
  const decodeMs = middle((run) => sum(run.stepMs));
  const totalMs = median(totals);
  return {
    model: about.model,
    promptLen,
    genLen,
    batchSize,
    tokensPerSec: perSecond(genLen * batchSize, totalMs),
    prefillMs,
    decodeMs,
    totalMs,
    ttftMs: prefillMs,
    decodeTokensPerSec: perSecond((genLen - 1) * batchSize, decodeMs),
    prefillTokensPerSec: perSecond(promptLen * batchSize, prefillMs),
    itlP50Ms: percentile(steps, 0.5),
    itlP95Ms: percentile(steps, 0.95),
    itlP99Ms: percentile(steps, 0.99),
    itlSamples: steps.length,
    p99Reliable: steps.length >= RELIABLE_P99_SAMPLES,
    stdMs: deviation(totals),
    minMs: Math.min(...totals),
    maxMs: Math.max(...totals),
    n: runs.length,
    repeatStdMs: deviation(samples.map((repeat) => median(repeat.map((run) => run.totalMs)))),
    cacheKind: about.cacheKind,
    useCache: about.useCache,
    benchmark: about.benchmark,
  };
}

/** The checked config within the options. */
function configOf(options: LatencyBenchmarkOptions): LatencyBenchmarkConfig {
  const { repeats, seed, benchmarkId, now, onProgress, ...config } = options;
  checkRepeats(repeats);
  return latencyBenchmarkConfig(config);
}

/**
 * Times several models side by side, on the same prompts, run by run in turn.
 * @param models by the name that stands in the rows.
 * Errors: ConfigError for options that are not valid; CarambaError `unsupported` for cache kinds that are not built, `model` for a model without vocabulary.
 */
export async function compareLatency(
  models: Readonly<Record<string, Model>>,
  backend: Backend,
  options: LatencyBenchmarkOptions = {},
): Promise<LatencyRow[]> {
  const config = configOf(options);
  const storage = supportedStorage(config);
  const { promptLengths, generationLengths, batchSizes, warmupRuns, timedRuns, validVocabSize } = config;
  const { repeats = 1, seed = 0, benchmarkId = "latency" } = options;
  const now = options.now ?? (() => performance.now());
  const names = Object.keys(models);
  const vocabSize = Math.min(
    ...Object.values(models).map((model) => model.vocabSize ?? 0),
    validVocabSize ?? Number.POSITIVE_INFINITY,
  );
  if (!(vocabSize >= 1))
    throw new CarambaError("a model without token embedder cannot be timed on prompts", {
      code: "model",
      remedy: "give the model an embedder of type token",
    });
  const cells: Cell[] = batchSizes.flatMap((batchSize) =>
    promptLengths.flatMap((promptLen) => generationLengths.map((genLen) => ({ promptLen, genLen, batchSize }))),
  );
  const samples = new Map<Cell, Samples[]>(cells.map((cell) => [cell, names.map(() => [])]));
  const total = repeats * cells.length * names.length * (warmupRuns + timedRuns);
  let done = 0;
  const onRequest = (): void => options.onProgress?.(++done, total);
  const maxSeqLen = Math.max(...promptLengths) + Math.max(...generationLengths) - 1;
  for (const batchSize of batchSizes) {
    const opened: TimedModel[] = [];
    try {
      for (const model of Object.values(models))
        opened.push(await openTimedModel(model, { backend, batchSize, maxSeqLen, storage }));
      // Repeats come outermost: they are minutes apart, and their spread shows what drifts.
      for (let repeat = 0; repeat < repeats; repeat++)
        for (const cell of cells.filter((each) => each.batchSize === batchSize)) {
          const request = { prompt: seededPrompt(seed, cell, vocabSize), genLen: cell.genLen, batchSize, vocabSize };
          const times = await measureCell(opened, request, { warmupRuns, timedRuns, now, onRequest });
          times.forEach((runs, i) => {
            samples.get(cell)?.[i]?.push(runs);
          });
        }
    } finally {
      for (const each of opened) each.dispose();
    }
  }
  return names.flatMap((model, i) =>
    cells.map((cell) =>
      latencyRow(cell, samples.get(cell)?.[i] as Samples, {
        model,
        cacheKind: storage,
        useCache: storage !== null,
        benchmark: benchmarkId,
      }),
    ),
  );
}

/** What a reader of latency rows must know. */
export function latencyWarnings(rows: readonly LatencyRow[]): string[] {
  const few = rows.filter((row) => !row.p99Reliable && row.itlSamples > 0);
  return few.length === 0
    ? []
    : [
        `${few.length} of ${rows.length} latency rows have fewer than ${RELIABLE_P99_SAMPLES} decode steps; their 99th percentile is unreliable`,
      ];
}

/** Times one model. `for (const row of await benchmark.run(model))` gives the rows. */
export class LatencyBenchmark extends BaseBenchmark<LatencyResult> {
  readonly #options: LatencyBenchmarkOptions;

  /** Errors: ConfigError for options that are not valid, CarambaError `unsupported` for cache kinds that are not built. */
  constructor(options: LatencyBenchmarkOptions = {}) {
    super();
    supportedStorage(configOf(options));
    this.#options = options;
  }

  async run(model: Model, device?: Device, modelName = "model"): Promise<LatencyResult> {
    const rows = await withBackend(device, [model], (backend) =>
      compareLatency({ [modelName]: model }, backend, this.#options),
    );
    const metrics: Record<string, number> = {};
    for (const key of ["tokensPerSec", "decodeTokensPerSec", "prefillTokensPerSec", "ttftMs"] as const) {
      const values = rows.flatMap((row) => row[key] ?? []);
      if (values.length > 0) metrics[key] = sum(values) / values.length;
    }
    return {
      benchmarkId: this.#options.benchmarkId ?? "latency",
      metrics,
      rows,
      warnings: latencyWarnings(rows),
      [Symbol.iterator]: () => rows[Symbol.iterator](),
    };
  }
}
