// memory_scaling.png: KV-cache size against sequence length on log2 axes, one line per model (colour) and storage kind
// (dash, marker). Lines are computed from shapes, markers are measured allocations: a marker off its line is a finding.

import type { ExperimentReport, MemoryRow } from "../report.ts";
import { modelNames, type Summary } from "../summarize.ts";
import { colourScale, DASHES, type Spec } from "./theme.ts";

function drawable(value: number | null): value is number {
  return value !== null && Number.isFinite(value) && value > 0;
}

/** Powers of two that cover the values, for tick marks; every second (third, ...) where there would be too many. */
export function powersOfTwo(values: readonly number[], most: number): number[] {
  const low = Math.floor(Math.log2(Math.min(...values)));
  const high = Math.ceil(Math.log2(Math.max(...values)));
  const step = Math.max(1, Math.ceil((high - low) / (most - 1)));
  return Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, index) => 2 ** (low + index * step));
}

function sliceOf(rows: readonly MemoryRow[]): readonly MemoryRow[] {
  const batch = Math.min(...rows.map((row) => row.batchSize));
  return rows.filter((row) => row.batchSize === batch);
}

/** Specification of memory_scaling.png, or null without a cache size. */
export function memoryChart(report: ExperimentReport, summary: Summary): Spec | null {
  const usable = report.memory.filter((row) => drawable(row.kvcacheMb) || drawable(row.kvcacheMeasuredMb));
  if (usable.length === 0) return null;
  const rows = sliceOf(usable);
  const models = modelNames(report).filter((name) => rows.some((row) => row.model === name));
  const kinds = [...new Set(rows.map((row) => row.quantization))];
  const values = rows.map((row) => ({
    model: row.model,
    kind: row.quantization,
    length: row.seqLen,
    computed: drawable(row.kvcacheMb) ? row.kvcacheMb : row.kvcacheMeasuredMb,
    measured: drawable(row.kvcacheMeasuredMb) ? row.kvcacheMeasuredMb : null,
    series: `${row.model} ${row.quantization}`,
  }));
  const anyMeasured = values.some((row) => row.measured !== null);
  const sizes = values.flatMap((row) => [row.computed, row.measured]).filter(drawable);
  const lengths = values.map((row) => row.length);
  const first = Math.min(...lengths);
  const last = Math.max(...lengths);
  const x = {
    field: "length",
    type: "quantitative",
    scale: { type: "log", base: 2, domain: [first / 1.15, last * 1.15], nice: false },
    axis: {
      title: "Sequence length (tokens, log2 scale)",
      values: [...new Set(lengths)].sort((a, b) => a - b),
      format: ",d",
      labelOverlap: true,
    },
  };
  const ticks = powersOfTwo(sizes, 9);
  const y = (field: string): Spec => ({
    field,
    type: "quantitative",
    scale: {
      type: "log",
      base: 2,
      domain: [Math.min(...sizes, ticks[0] ?? 1) / 1.1, Math.max(...sizes, ticks.at(-1) ?? 1) * 1.1],
      nice: false,
    },
    axis: { title: "KV cache (MB, log2 scale)", values: ticks, format: "~r", labelOverlap: true },
  });
  const color = {
    field: "model",
    type: "nominal",
    scale: colourScale(models, summary.roles.teacher, summary.roles.student),
    legend: { title: null },
  };
  const dash = {
    field: "kind",
    type: "nominal",
    scale: { domain: kinds, range: kinds.map((_, index) => DASHES[index % DASHES.length]) },
    legend: { title: "Storage", symbolType: "stroke", symbolSize: 500 },
  };
  return {
    title: {
      text: "KV-cache memory against sequence length",
      subtitle: `batch ${rows[0]?.batchSize ?? 0}; K and V, all layers; ${
        anyMeasured ? "lines computed, markers measured" : "computed, not measured"
      }`,
    },
    width: 520,
    height: 320,
    data: { values },
    layer: [
      {
        mark: { type: "line", strokeWidth: 2 },
        encoding: { x, y: y("computed"), color, strokeDash: dash, detail: { field: "series" } },
      },
      {
        transform: anyMeasured ? [{ filter: "isValid(datum.measured)" }] : [],
        mark: { type: "point", filled: true, size: 55, opacity: 1 },
        encoding: { x, y: y(anyMeasured ? "measured" : "computed"), color },
      },
    ],
  };
}
