// Rows of results: the tables that reports are made of. What was not measured is null, never 0.

/** A measured number, or null where it was not measured. */
export type Measured = number | null;

/** Perplexity of one model. */
export interface PerplexityRow {
  readonly model: string;
  /** exp(crossEntropy). */
  readonly perplexity: number;
  /** Mean negative log-likelihood, nats per token. */
  readonly crossEntropy: number;
  readonly numBatches: number;
  readonly numTokens: number;
  /** Tokens per window. */
  readonly blockSize: number;
  /** Standard error of crossEntropy over windows; null of one window. */
  readonly stdErr: Measured;
  /** 95 % t interval of the perplexity over windows. */
  readonly ciLow: Measured;
  readonly ciHigh: Measured;
  /** Standard deviation of the loss over repeats; null of one. */
  readonly repeatStd: Measured;
  readonly benchmark: string;
}

/** Speed of one model at one prompt length, generated length and batch size. Times are medians over `n` timed runs, ms. */
export interface LatencyRow {
  readonly model: string;
  readonly promptLen: number;
  readonly genLen: number;
  readonly batchSize: number;
  /** genLen * batchSize / totalMs: the whole request, prefill included. */
  readonly tokensPerSec: Measured;
  readonly prefillMs: number;
  /** The genLen - 1 steps after the first token. */
  readonly decodeMs: number;
  readonly totalMs: number;
  /** Time to first token: it is there when prefill is done. */
  readonly ttftMs: number;
  /** (genLen - 1) * batchSize / decodeMs; null when there is one token only. */
  readonly decodeTokensPerSec: Measured;
  readonly prefillTokensPerSec: Measured;
  /** Percentiles of all single decode steps of all timed runs. */
  readonly itlP50Ms: Measured;
  readonly itlP95Ms: Measured;
  readonly itlP99Ms: Measured;
  /** Decode steps behind the percentiles. */
  readonly itlSamples: number;
  /** Whether there are enough steps for a 99th percentile (100). */
  readonly p99Reliable: boolean;
  /** Spread of the whole request over the timed runs. */
  readonly stdMs: Measured;
  readonly minMs: number;
  readonly maxMs: number;
  /** Timed runs, all repeats together. */
  readonly n: number;
  /** Standard deviation over repeats of their median totalMs; null of one. */
  readonly repeatStdMs: Measured;
  /** Storage of the cache; null without a cache. */
  readonly cacheKind: string | null;
  readonly useCache: boolean;
  readonly benchmark: string;
}

/** Memory of one model at one sequence length, batch size and storage kind, in MB of 2^20 bytes. */
export interface MemoryRow {
  readonly model: string;
  readonly seqLen: number;
  readonly batchSize: number;
  /** Storage kind of the cache. */
  readonly quantization: string;
  /** Computed from the layers: K and V, all layers, all sequences, scales included. */
  readonly kvcacheMb: Measured;
  /** Of a cache that was allocated for this length. */
  readonly kvcacheMeasuredMb: Measured;
  /** Largest resident memory of the whole process during prefill and decode. */
  readonly peakMb: Measured;
  /** peakMb less what was resident before: what this run added. */
  readonly peakGrowthMb: Measured;
  /** `VmHWM` (the kernel's high-water mark) or `sampled` (every few milliseconds). */
  readonly peakMethod: string | null;
  /** Weights of this model alone. */
  readonly modelMb: number;
  /** Standard deviation of peakMb over repeats; null of one. */
  readonly repeatStdMb: Measured;
  /** Why something is null; empty when nothing is. */
  readonly note: string;
  readonly benchmark: string;
}
