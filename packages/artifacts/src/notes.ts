// How the numbers came about, in sentences: the same notes stand under the LaTeX table, in report.md and report.html.

import { count, fixed, integer, percent } from "./format.ts";
import type { ExperimentReport } from "./report.ts";
import { headlinePerplexity, type Summary } from "./summarize.ts";

function list(values: readonly number[]): string {
  return [...new Set(values)].sort((a, b) => a - b).join(", ");
}

function perplexityNote(report: ExperimentReport, summary: Summary): string[] {
  const row =
    headlinePerplexity(report, summary.roles.student) ??
    headlinePerplexity(report, summary.roles.teacher) ??
    report.perplexity[0];
  if (!row) return [];
  const windows = row.blockSize === null ? "" : ` in windows of ${integer(row.blockSize)}`;
  return [`Perplexity: exp of the mean negative log-likelihood over ${integer(row.numTokens)} tokens${windows}.`];
}

/** Baseline, windows, tokens, interval, speed cells, cache bytes: one sentence each, only what the report knows. */
export function methodNotes(report: ExperimentReport, summary: Summary): string[] {
  const { teacher, student } = summary.roles;
  const facts = report.models.find((model) => model.name === teacher);
  const notes: string[] = [];
  if (facts) {
    const kv =
      facts.kvElementsPerToken === null ? "" : `, ${integer(facts.kvElementsPerToken)} cached elements per token`;
    const parameters = facts.parameters === null ? "" : ` (${count(facts.parameters)} parameters${kv})`;
    notes.push(`Baseline: ${teacher}${parameters}; changes are ${student} against ${teacher}.`);
  }
  notes.push(...perplexityNote(report, summary));
  const { comparison } = report;
  if (comparison) {
    const interval =
      comparison.ciLow === null || comparison.ciHigh === null
        ? "no interval"
        : `${percent(comparison.confidence, 0)} interval ${fixed(comparison.ciLow, 3)} to ${fixed(comparison.ciHigh, 3)}`;
    notes.push(
      `Perplexity ratio: ${fixed(comparison.ratio, 3)}, ${interval} (${comparison.method}, ` +
        `${integer(comparison.nWindows)} windows, the same for both models).`,
    );
  }
  if (report.latency.length > 0) {
    const rows = report.latency;
    const cells = summary.sharedLatencyCells;
    notes.push(
      `Throughput: generated tokens over the time of the whole request, mean over ${cells} ` +
        `${cells === 1 ? "cell" : "cells"} that the compared models share (prompts ${list(rows.map((row) => row.promptLen))}; ` +
        `generated ${list(rows.map((row) => row.genLen))}; batch ${list(rows.map((row) => row.batchSize))}).`,
    );
  }
  if (summary.kvKind !== null) {
    notes.push(
      `KV cache: bytes per token in ${summary.kvKind}, K and V, all layers, quantisation scales included; ` +
        "elements of K alone are listed apart.",
    );
  }
  return notes;
}
