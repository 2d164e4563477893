// report.json: the documented layout ({metadata, summary, generated_at}) with every raw row and the checklist added.
// Keys are snake_case. JSON has no infinity: such numbers are written as the strings "Infinity", "-Infinity", "NaN",
// so that they cannot be taken for null (not measured).

import type { Cell, Column } from "./columns.ts";
import { LATENCY_COLUMNS, MEMORY_COLUMNS, PERPLEXITY_COLUMNS, TRAINING_COLUMNS } from "./columns.ts";
import { type CriterionResult, perplexityBand } from "./criteria.ts";
import type { ExperimentReport, Measured } from "./report.ts";
import type { Summary } from "./summarize.ts";
import { parseTimestamp } from "./timestamp.ts";

/** Raised when the layout changes in a way that readers must know of. */
export const REPORT_SCHEMA_VERSION = 1;

/** A JSON value; undefined never appears. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

function cell(value: Cell): Json {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

function records<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): Json[] {
  return rows.map((row) => Object.fromEntries(columns.map((column) => [column.name, cell(column.value(row))])));
}

function numbers(values: Readonly<Record<string, Measured>>): Json {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, cell(value)]));
}

function metadataJson(report: ExperimentReport): Json {
  const { metadata } = report;
  return {
    name: metadata.name,
    timestamp: parseTimestamp(metadata.timestamp).toISOString(),
    manifest_path: metadata.manifestPath,
    manifest_hash: metadata.manifestHash,
    teacher_checkpoint: metadata.teacherCheckpoint,
    student_config: metadata.studentConfig,
    device: metadata.device,
    notes: metadata.notes,
    seeds: metadata.seeds,
    versions: {
      caramba: metadata.versions.caramba,
      node: metadata.versions.node,
      backend: metadata.versions.backend,
      backend_version: metadata.versions.backendVersion,
      os: metadata.versions.os,
      cpu: metadata.versions.cpu,
    },
    data_hash: metadata.dataHash,
    tokenizer_hash: metadata.tokenizerHash,
  };
}

function summaryJson(summary: Summary): Json {
  return {
    ...(numbers({
      teacher_perplexity: summary.perplexity.teacher,
      student_perplexity: summary.perplexity.student,
      perplexity_ratio: summary.perplexityRatio,
      perplexity_ratio_ci_low: summary.perplexityRatioCi?.[0] ?? null,
      perplexity_ratio_ci_high: summary.perplexityRatioCi?.[1] ?? null,
      teacher_tokens_per_sec: summary.tokensPerSec.teacher,
      student_tokens_per_sec: summary.tokensPerSec.student,
      speedup: summary.speedup,
      teacher_decode_tokens_per_sec: summary.decodeTokensPerSec.teacher,
      student_decode_tokens_per_sec: summary.decodeTokensPerSec.student,
      decode_speedup: summary.decodeSpeedup,
      shared_latency_cells: summary.sharedLatencyCells,
      teacher_kvcache_bytes_per_token: summary.kvBytesPerToken.teacher,
      student_kvcache_bytes_per_token: summary.kvBytesPerToken.student,
      kvcache_fraction: summary.kvFraction,
      memory_reduction: summary.kvReduction,
    }) as { readonly [key: string]: Json }),
    kvcache_kind: summary.kvKind,
    teacher_model: summary.roles.teacher,
    student_model: summary.roles.student,
    teacher_perplexity_band: perplexityBand(summary.perplexity.teacher),
    student_perplexity_band: perplexityBand(summary.perplexity.student),
  };
}

function criterionJson(result: CriterionResult): Json {
  return {
    id: result.id,
    goal: result.goal,
    status: result.status,
    value: cell(result.value),
    limit: cell(result.limit),
    measured: result.measured,
    remark: result.remark,
  };
}

/** The object that report.json holds. `generatedAt` is ISO 8601 UTC. */
export function reportJson(
  report: ExperimentReport,
  summary: Summary,
  criteria: readonly CriterionResult[],
  generatedAt: string,
): { readonly [key: string]: Json } {
  const { comparison } = report;
  return {
    schema_version: REPORT_SCHEMA_VERSION,
    metadata: metadataJson(report),
    summary: summaryJson(summary),
    generated_at: generatedAt,
    criteria: criteria.map(criterionJson),
    models: report.models.map((model) => ({
      name: model.name,
      parameters: cell(model.parameters),
      kv_elements_per_token: cell(model.kvElementsPerToken),
      k_only_elements_per_token: cell(model.kOnlyElementsPerToken),
      kv_bytes_per_token: numbers(model.kvBytesPerToken),
      flops_per_token: cell(model.flopsPerToken),
    })),
    paired_comparison:
      comparison === null
        ? null
        : {
            ratio: cell(comparison.ratio),
            ci_low: cell(comparison.ciLow),
            ci_high: cell(comparison.ciHigh),
            confidence: comparison.confidence,
            method: comparison.method,
            n_windows: comparison.nWindows,
          },
    perplexity: records(PERPLEXITY_COLUMNS, report.perplexity),
    latency: records(LATENCY_COLUMNS, report.latency),
    memory: records(MEMORY_COLUMNS, report.memory),
    training: records(TRAINING_COLUMNS, report.training),
    verification: report.verification.map((row) => ({
      run: row.run,
      type: row.type,
      passed: row.passed,
      metrics: numbers(row.metrics),
      violations: row.violations,
    })),
    samples: report.samples.map(({ model, prompt, completion }) => ({ model, prompt, completion })),
  };
}
