// The plain data that a finished experiment hands over. Everything this package writes is a function of one
// ExperimentReport; nothing is measured here. A value that was not measured is null, never 0: a zero is a claim.

/** A measured number, or null where it was not measured. */
export type Measured = number | null;

/** Versions of what produced the numbers. */
export interface ReportVersions {
  readonly caramba: string | null;
  readonly node: string | null;
  readonly backend: string | null;
  readonly backendVersion: string | null;
  readonly os: string | null;
  readonly cpu: string | null;
}

/** What was run, on what, from what. */
export interface ReportMetadata {
  /** Manifest name; with `timestamp` it names the artifact folder. */
  readonly name: string;
  /** Start of the experiment, ISO 8601 with `Z` or an offset; written as UTC. */
  readonly timestamp: string;
  readonly manifestPath: string | null;
  readonly manifestHash: string | null;
  readonly teacherCheckpoint: string | null;
  readonly studentConfig: string | null;
  readonly device: string | null;
  readonly notes: string | null;
  readonly seeds: readonly number[];
  readonly versions: ReportVersions;
  readonly dataHash: string | null;
  readonly tokenizerHash: string | null;
}

/** What is known of a model without running it. Sizes count all layers. */
export interface ModelFacts {
  readonly name: string;
  readonly parameters: Measured;
  /** Elements cached per token: K and V, all layers. */
  readonly kvElementsPerToken: Measured;
  /** Elements cached per token of K alone; some papers' "KV bytes" are this number. */
  readonly kOnlyElementsPerToken: Measured;
  /** Bytes cached per token (K and V, all layers, quantisation scales included) by storage kind: `{ fp16: 32768 }`. */
  readonly kvBytesPerToken: Readonly<Record<string, number>>;
  /** Floating-point operations of one decoded token. */
  readonly flopsPerToken: Measured;
}

/** Language-modelling quality of one model. `perplexity` is exp(crossEntropy); `Infinity` is allowed, null is not measured. */
export interface PerplexityRow {
  readonly model: string;
  readonly perplexity: Measured;
  /** Mean negative log-likelihood, nats per token. */
  readonly crossEntropy: Measured;
  readonly numBatches: number;
  readonly numTokens: number;
  /** Tokens per window. */
  readonly blockSize: Measured;
  /** Standard error of crossEntropy over windows, nats. */
  readonly stdErr: Measured;
  /** Confidence interval of the perplexity. */
  readonly ciLow: Measured;
  readonly ciHigh: Measured;
  /** Benchmark id, where a suite has several of a type. */
  readonly benchmark?: string | null;
}

/** Student over teacher perplexity on the same windows, compared window by window. */
export interface PairedComparison {
  readonly ratio: number;
  readonly ciLow: Measured;
  readonly ciHigh: Measured;
  /** Coverage of the interval, e.g. 0.95. */
  readonly confidence: number;
  /** E.g. `paired t interval over windows`. */
  readonly method: string;
  readonly nWindows: number;
}

/** Speed of one model in one cell (prompt length, generated length, batch size). Medians over `n` timed runs. */
export interface LatencyRow {
  readonly model: string;
  readonly promptLen: number;
  readonly genLen: number;
  readonly batchSize: number;
  /** Whole request: genLen * batchSize / totalMs. */
  readonly tokensPerSec: Measured;
  readonly prefillMs: Measured;
  readonly decodeMs: Measured;
  readonly totalMs: Measured;
  /** Time to first token. */
  readonly ttftMs: Measured;
  readonly decodeTokensPerSec: Measured;
  readonly prefillTokensPerSec: Measured;
  /** Inter-token latency percentiles over all decoded tokens. */
  readonly itlP50Ms: Measured;
  readonly itlP95Ms: Measured;
  readonly itlP99Ms: Measured;
  /** Spread of totalMs over the timed runs. */
  readonly stdMs: Measured;
  readonly minMs: Measured;
  readonly maxMs: Measured;
  readonly n: number;
  /** Storage kind of the cache, e.g. `fp16`. */
  readonly cacheKind: string | null;
  readonly useCache: boolean;
  readonly benchmark?: string | null;
}

/** Memory of one model in one cell, in MB of 2^20 bytes. */
export interface MemoryRow {
  readonly model: string;
  readonly seqLen: number;
  readonly batchSize: number;
  /** Storage kind of the cache, e.g. `fp16`, `q8`. */
  readonly quantization: string;
  /** Computed from the shapes. */
  readonly kvcacheMb: Measured;
  /** Of the cache that was really allocated. */
  readonly kvcacheMeasuredMb: Measured;
  readonly peakMb: Measured;
  readonly modelMb: Measured;
  readonly benchmark?: string | null;
}

/** One logged training step. */
export interface TrainingPoint {
  readonly run: string;
  readonly phase: string;
  readonly step: number;
  readonly loss: Measured;
  readonly lr: Measured;
  readonly tokPerSec: Measured;
  readonly valLoss: Measured;
  /** Terms in the loss that layers ask for (load balancing of experts); absent where there are none. */
  readonly auxLoss?: Measured;
}

/** Outcome of one verification. */
export interface VerificationRow {
  readonly run: string;
  /** `compare`, `fidelity`, `eval`, `kvcache`. */
  readonly type: string;
  readonly passed: boolean;
  readonly metrics: Readonly<Record<string, Measured>>;
  /** One sentence for each threshold that was crossed. */
  readonly violations: readonly string[];
}

/** A completion worth showing. */
export interface SampleText {
  readonly model: string;
  readonly prompt: string;
  readonly completion: string;
}

/** Thresholds of the checklist; null leaves a criterion out. Defaults: `DEFAULT_GOALS`. */
export interface CriteriaGoals {
  /** Highest perplexity ratio student/teacher. */
  readonly maxPerplexityRatio: number | null;
  /** Highest share of the teacher's KV-cache bytes (K and V, all layers, same storage kind). */
  readonly maxKvFraction: number | null;
  /** Perplexity must rise by less than this share (guide's checklist: 0.05). */
  readonly maxPerplexityIncrease: number | null;
  /** Throughput must rise by more than this share (guide's checklist: 0.20). */
  readonly minThroughputIncrease: number | null;
  /** KV-cache bytes must shrink by more than this factor (guide's checklist: 3). */
  readonly minKvReduction: number | null;
  /** Every verification must pass. */
  readonly requireVerification: boolean;
}

/** Which two models the comparison is about. */
export interface Roles {
  /** The baseline. Default `teacher`. */
  readonly teacher: string;
  /** The candidate. Default `student`. */
  readonly student: string;
}

/** A finished experiment. */
export interface ExperimentReport {
  readonly metadata: ReportMetadata;
  readonly models: readonly ModelFacts[];
  readonly perplexity: readonly PerplexityRow[];
  readonly comparison: PairedComparison | null;
  readonly latency: readonly LatencyRow[];
  readonly memory: readonly MemoryRow[];
  readonly training: readonly TrainingPoint[];
  readonly verification: readonly VerificationRow[];
  readonly samples: readonly SampleText[];
  /** Overrides of single thresholds. */
  readonly goals?: Partial<CriteriaGoals>;
  readonly roles?: Roles;
}
