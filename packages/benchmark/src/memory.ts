// Memory: the cache as it follows from the layers, the cache as it is allocated, and the process's peak during a prefill
// and some decode steps with that cache. Sizes are MB of 2^20 bytes.
import {
  type KVCacheKind,
  type MemoryBenchmarkConfig,
  type MemoryBenchmarkInput,
  memoryBenchmarkConfig,
} from "@caramba/config";
import { Decoder } from "@caramba/infer";
import { type CacheStorage, ModelCache } from "@caramba/kvcache";
import { cacheBytes, kvBytesPerToken, type Model, modelMemory } from "@caramba/model";
import { type Backend, dtypeBytes } from "@caramba/tensor";
import { median } from "simple-statistics";
import { BaseBenchmark, type BenchmarkResult, checkRepeats, type Device, withBackend } from "./base-benchmark.ts";
import { seededPrompt } from "./latency.ts";
import { type PeakMemory, peakMemory } from "./peak-memory.ts";
import type { MemoryRow } from "./rows.ts";
import { deviation } from "./statistics.ts";

/** What to measure; names and defaults are those of the manifest. */
export interface MemoryBenchmarkOptions extends Omit<MemoryBenchmarkInput, "checkpoint"> {
  /** Peaks are measured this often; the row has their median. Default 1. */
  readonly repeats?: number;
  /** Key of the random tokens; default 0. */
  readonly seed?: number;
  /** Name in rows; default `memory`. */
  readonly benchmarkId?: string;
  /** Called after every row. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Rows of one model; iterating gives the rows. */
export interface MemoryResult extends BenchmarkResult, Iterable<MemoryRow> {
  readonly rows: readonly MemoryRow[];
  readonly warnings: readonly string[];
}

const MB = 2 ** 20;
const DECODE_STEPS = 8;

const built = (kind: KVCacheKind): kind is CacheStorage => kind === "fp16" || kind === "fp32";

/** Bytes of a model's weights. */
export function modelBytes(model: Model): number {
  let bytes = 0;
  for (const variable of model.variables().values()) bytes += variable.size * dtypeBytes(variable.dtype);
  return bytes;
}

/** Bytes of a cache that is allocated for `seqLen` positions, states of recurrent layers included, and freed again. */
export function allocatedCacheBytes(
  model: Model,
  options: { backend: Backend; seqLen: number; batchSize: number; storage: CacheStorage },
): number {
  const { backend, seqLen, batchSize, storage } = options;
  const { rows, states } = modelMemory(model);
  const cache = new ModelCache(
    rows.map(({ layer }) => layer.cacheParts),
    {
      ...{ backend, batchSize, maxLength: seqLen, storage, capacity: seqLen },
      states: states.map(({ layer }) => layer.stateParts),
    },
  );
  try {
    return cache.bytes;
  } finally {
    cache.dispose();
  }
}

interface Cell {
  readonly seqLen: number;
  readonly batchSize: number;
}

/**
 * Engines keep sessions with their workspaces; a peak on the shared one would include what was measured before. ONNX
 * Runtime can be opened once more, for this alone; the others share state between instances or have no workspaces.
 */
function engineOf(backend: Backend): Device {
  return backend.name.startsWith("onnx") ? backend.name : backend;
}

/** Peak while a cache of seqLen positions is filled: prefill of nearly all, decode of the rest. Sessions are compiled and weights loaded before. */
async function peakOf(
  model: Model,
  cell: Cell,
  options: { backend: Backend; storage: CacheStorage; prompt: Int32Array },
): Promise<PeakMemory> {
  const { seqLen, batchSize } = cell;
  const { backend, storage, prompt } = options;
  const decoder = await Decoder.open(model, { backend, batchSize, maxSeqLen: seqLen, storage });
  try {
    await decoder.warm();
    await decoder.feed(new Int32Array(batchSize));
    decoder.reset();
    const steps = Math.min(DECODE_STEPS, seqLen - 1);
    const rows = Array.from({ length: batchSize }, (_, row) => prompt.subarray(row * seqLen, (row + 1) * seqLen));
    const columns = (from: number, to: number) => Int32Array.from(rows.flatMap((row) => [...row.subarray(from, to)]));
    return await peakMemory(async () => {
      await decoder.feed(columns(0, seqLen - steps));
      for (let at = seqLen - steps; at < seqLen; at++) await decoder.feed(columns(at, at + 1));
    });
  } finally {
    decoder.dispose();
  }
}

/** Measures memory over sequence length x batch size x storage kind. */
export class MemoryBenchmark extends BaseBenchmark<MemoryResult> {
  readonly #config: MemoryBenchmarkConfig;
  readonly #options: Pick<MemoryBenchmarkOptions, "repeats" | "seed" | "benchmarkId" | "onProgress">;

  /** Errors: ConfigError for options that are not valid. */
  constructor(options: MemoryBenchmarkOptions = {}) {
    super();
    const { repeats, seed, benchmarkId, onProgress, ...config } = options;
    this.#config = memoryBenchmarkConfig(config);
    this.#options = options;
    checkRepeats(repeats);
  }

  async run(model: Model, device?: Device, modelName = "model"): Promise<MemoryResult> {
    const rows = await withBackend(device, [model], (backend) => this.#measure(model, backend, modelName));
    const warnings = [...new Set(rows.flatMap((row) => (row.note ? [row.note] : [])))];
    return {
      benchmarkId: this.#options.benchmarkId ?? "memory",
      metrics: { kvBytesPerToken: kvBytesPerToken(model, "fp16"), modelMb: modelBytes(model) / MB },
      rows,
      warnings,
      [Symbol.iterator]: () => rows[Symbol.iterator](),
    };
  }

  async #measure(model: Model, backend: Backend, name: string): Promise<MemoryRow[]> {
    const { sequenceLengths, batchSizes, quantizationModes: kinds, measureKvcache, measurePeak } = this.#config;
    const { benchmarkId = "memory" } = this.#options;
    const cells = batchSizes.flatMap((batchSize) => sequenceLengths.map((seqLen) => ({ seqLen, batchSize })));
    const rows: MemoryRow[] = [];
    for (const cell of cells)
      for (const kind of kinds) {
        const peaks = measurePeak && built(kind) ? await this.#peaks(model, cell, backend, kind) : [];
        const [first] = peaks;
        rows.push({
          model: name,
          ...cell,
          quantization: kind,
          kvcacheMb: measureKvcache ? (cacheBytes(model, cell.seqLen, kind) * cell.batchSize) / MB : null,
          kvcacheMeasuredMb:
            measureKvcache && built(kind) ? allocatedCacheBytes(model, { backend, ...cell, storage: kind }) / MB : null,
          peakMb: first ? median(peaks.map((peak) => peak.peakBytes)) / MB : null,
          peakGrowthMb: first ? median(peaks.map((peak) => peak.peakBytes - peak.beforeBytes)) / MB : null,
          peakMethod: first?.method ?? null,
          modelMb: modelBytes(model) / MB,
          repeatStdMb: deviation(peaks.map((peak) => peak.peakBytes / MB)),
          note: built(kind) ? "" : `cache kind ${kind} is not built yet: its size is computed, not measured`,
          benchmark: benchmarkId,
        });
        this.#options.onProgress?.(rows.length, cells.length * kinds.length);
      }
    return rows;
  }

  async #peaks(model: Model, cell: Cell, backend: Backend, storage: CacheStorage): Promise<PeakMemory[]> {
    const { repeats = 1, seed = 0 } = this.#options;
    const vocabSize = Math.min(model.vocabSize ?? 1, this.#config.validVocabSize ?? Number.POSITIVE_INFINITY);
    const prompt = seededPrompt(seed, { promptLen: cell.seqLen, genLen: 0, batchSize: cell.batchSize }, vocabSize);
    const peaks: PeakMemory[] = [];
    for (let i = 0; i < repeats; i++)
      peaks.push(
        await withBackend(engineOf(backend), [model], (own) => peakOf(model, cell, { backend: own, storage, prompt })),
      );
    return peaks;
  }
}
