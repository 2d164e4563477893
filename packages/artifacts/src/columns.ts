// The columns of every table, once: the CSV files and the rows of report.json are both made from them. The documented
// columns come first, in the documented order, so that a reader by position of the original files keeps working.

import type { LatencyRow, MemoryRow, PerplexityRow, TrainingPoint, VerificationRow } from "./report.ts";

/** What a cell can hold. */
export type Cell = string | number | boolean | null;

/** One column: its name in the files (snake_case) and how to get it. */
export interface Column<Row> {
  readonly name: string;
  readonly value: (row: Row) => Cell;
}

function columns<Row>(table: Readonly<Record<string, (row: Row) => Cell>>): readonly Column<Row>[] {
  return Object.entries(table).map(([name, value]) => ({ name, value }));
}

/** perplexity.csv: the documented four, then tokens, window and spread. */
export const PERPLEXITY_COLUMNS: readonly Column<PerplexityRow>[] = columns<PerplexityRow>({
  model: (row) => row.model,
  perplexity: (row) => row.perplexity,
  cross_entropy: (row) => row.crossEntropy,
  num_batches: (row) => row.numBatches,
  num_tokens: (row) => row.numTokens,
  block_size: (row) => row.blockSize,
  std_err: (row) => row.stdErr,
  ci_low: (row) => row.ciLow,
  ci_high: (row) => row.ciHigh,
  benchmark: (row) => row.benchmark ?? null,
});

/** latency.csv: the documented seven, then totals, first token, the two phases apart, percentiles and spread. */
export const LATENCY_COLUMNS: readonly Column<LatencyRow>[] = columns<LatencyRow>({
  model: (row) => row.model,
  prompt_len: (row) => row.promptLen,
  gen_len: (row) => row.genLen,
  batch_size: (row) => row.batchSize,
  tokens_per_sec: (row) => row.tokensPerSec,
  prefill_ms: (row) => row.prefillMs,
  decode_ms: (row) => row.decodeMs,
  total_ms: (row) => row.totalMs,
  ttft_ms: (row) => row.ttftMs,
  decode_tokens_per_sec: (row) => row.decodeTokensPerSec,
  prefill_tokens_per_sec: (row) => row.prefillTokensPerSec,
  itl_p50_ms: (row) => row.itlP50Ms,
  itl_p95_ms: (row) => row.itlP95Ms,
  itl_p99_ms: (row) => row.itlP99Ms,
  total_std_ms: (row) => row.stdMs,
  total_min_ms: (row) => row.minMs,
  total_max_ms: (row) => row.maxMs,
  n: (row) => row.n,
  cache_kind: (row) => row.cacheKind,
  use_cache: (row) => row.useCache,
  benchmark: (row) => row.benchmark ?? null,
});

/** memory.csv: the documented six, then the measured cache and the weights. */
export const MEMORY_COLUMNS: readonly Column<MemoryRow>[] = columns<MemoryRow>({
  model: (row) => row.model,
  seq_len: (row) => row.seqLen,
  batch_size: (row) => row.batchSize,
  quantization: (row) => row.quantization,
  kvcache_mb: (row) => row.kvcacheMb,
  peak_mb: (row) => row.peakMb,
  kvcache_measured_mb: (row) => row.kvcacheMeasuredMb,
  model_mb: (row) => row.modelMb,
  benchmark: (row) => row.benchmark ?? null,
});

/** training.csv: every logged step. */
export const TRAINING_COLUMNS: readonly Column<TrainingPoint>[] = columns<TrainingPoint>({
  run: (row) => row.run,
  phase: (row) => row.phase,
  step: (row) => row.step,
  loss: (row) => row.loss,
  lr: (row) => row.lr,
  tokens_per_sec: (row) => row.tokPerSec,
  val_loss: (row) => row.valLoss,
  aux_loss: (row) => row.auxLoss ?? null,
});

/** One metric of one verification: verification.csv is in long form, because every type has metrics of its own. */
export interface VerificationCell {
  readonly row: VerificationRow;
  readonly metric: string | null;
  readonly value: number | null;
}

/** One entry per metric; a verification without metrics still has one. */
export function verificationCells(rows: readonly VerificationRow[]): VerificationCell[] {
  return rows.flatMap((row): VerificationCell[] => {
    const metrics = Object.entries(row.metrics);
    return metrics.length === 0
      ? [{ row, metric: null, value: null }]
      : metrics.map(([metric, value]) => ({ row, metric, value }));
  });
}

/** verification.csv. */
export const VERIFICATION_COLUMNS: readonly Column<VerificationCell>[] = columns<VerificationCell>({
  run: ({ row }) => row.run,
  type: ({ row }) => row.type,
  passed: ({ row }) => row.passed,
  metric: ({ metric }) => metric,
  value: ({ value }) => value,
  violations: ({ row }) => row.violations.join("; "),
});
