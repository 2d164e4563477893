// latency_vs_context.png: tokens per second against prompt length, one line per model, whole request on the left and
// decoding alone on the right. One slice of the measurements is shown (smallest batch, median generated length) and
// named under the title; the rest is in latency.csv.

import { compact } from "../format.ts";
import type { ExperimentReport, LatencyRow, Measured } from "../report.ts";
import { modelNames, type Summary } from "../summarize.ts";
import { colourScale, haloText, NUMBER_AXIS, SHAPES, type Spec } from "./theme.ts";

interface Point {
  readonly model: string;
  readonly prompt: number;
  readonly value: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly label: string;
}

/** The rows drawn: smallest batch size, then the (lower) median of the generated lengths measured with it. */
export function latencySlice(rows: readonly LatencyRow[]): readonly LatencyRow[] {
  const batch = Math.min(...rows.map((row) => row.batchSize));
  const ofBatch = rows.filter((row) => row.batchSize === batch);
  const lengths = [...new Set(ofBatch.map((row) => row.genLen))].sort((a, b) => a - b);
  const median = lengths[Math.floor((lengths.length - 1) / 2)];
  return ofBatch.filter((row) => row.genLen === median);
}

/** Series name: the model, and the cache where a model was measured with several. */
function seriesOf(rows: readonly LatencyRow[]): (row: LatencyRow) => string {
  const cacheOf = (row: LatencyRow): string => (row.useCache ? (row.cacheKind ?? "cache") : "no cache");
  const several = new Set(rows.map(cacheOf)).size > 1;
  return (row) => (several ? cacheOf(row) : "");
}

function points(rows: readonly LatencyRow[], of: (row: LatencyRow) => Measured, spread: boolean): Point[] {
  return rows.flatMap((row): Point[] => {
    const value = of(row);
    if (value === null || !Number.isFinite(value)) return [];
    // One standard deviation of the run time, seen as speed.
    const share = spread && row.stdMs !== null && row.totalMs !== null && row.n > 1 ? row.stdMs / row.totalMs : null;
    return [
      {
        model: row.model,
        prompt: row.promptLen,
        value,
        low: share === null ? null : value / (1 + share),
        high: share === null || share >= 1 ? null : value / (1 - share),
        label: compact(value),
      },
    ];
  });
}

function panel(
  title: string,
  subtitle: string,
  rows: readonly LatencyRow[],
  of: (row: LatencyRow) => Measured,
  spread: boolean,
  colour: Spec,
): Spec {
  const series = seriesOf(rows);
  const kept = rows.filter((row) => {
    const value = of(row);
    return value !== null && Number.isFinite(value);
  });
  const values = points(kept, of, spread).map((point, index) => {
    const row = kept[index];
    return { ...point, cache: row === undefined ? "" : series(row), above: true };
  });
  // The fastest of a prompt length is labelled above its point, the others below, where no line hides them.
  for (const point of values)
    point.above = values.every((other) => other.prompt !== point.prompt || other.value <= point.value);
  const caches = [...new Set(values.map((point) => point.cache))];
  const largest = Math.max(0, ...values.map((point) => point.high ?? point.value));
  const prompts = [...new Set(values.map((point) => point.prompt))].sort((a, b) => a - b);
  const y = (field: string): Spec => ({
    field,
    type: "quantitative",
    scale: { domain: [0, largest > 0 ? largest * 1.12 : 1], nice: false },
    axis: { title: "Tokens/s", labelExpr: NUMBER_AXIS, tickCount: 6 },
  });
  const first = prompts[0] ?? 1;
  const last = prompts.at(-1) ?? first;
  const x = {
    field: "prompt",
    type: "quantitative",
    scale: { type: "log", base: 2, domain: [first / 1.25, last * 1.25], nice: false },
    axis: { title: "Prompt length (tokens)", values: prompts, format: ",d", labelOverlap: true },
  };
  const color = { field: "model", type: "nominal", scale: colour, legend: { title: null } };
  const several = caches.length > 1;
  const shape = several
    ? {
        shape: {
          field: "cache",
          type: "nominal",
          scale: { domain: caches, range: caches.map((_, index) => SHAPES[index % SHAPES.length]) },
          legend: { title: "Cache" },
        },
        detail: { field: "cache" },
      }
    : {};
  const detail = several ? { detail: { field: "cache" } } : {};
  const withSpread = [{ filter: "isValid(datum.low) && isValid(datum.high)" }];
  const lineEnds = values.filter((point) => point.prompt === first || point.prompt === last);
  return {
    title: { text: title, subtitle },
    width: 330,
    height: 260,
    data: { values },
    layer: [
      { mark: { type: "line", strokeWidth: 2.2 }, encoding: { x, y: y("value"), color, ...detail } },
      {
        transform: withSpread,
        mark: { type: "rule", strokeWidth: 1.3 },
        encoding: { x, y: y("low"), y2: { field: "high" }, color },
      },
      {
        mark: { type: "point", filled: true, size: 60, opacity: 1 },
        encoding: { x, y: y("value"), color, ...shape },
      },
      ...(lineEnds.length <= 12
        ? [true, false].flatMap((above) =>
            haloText({ dy: above ? -13 : 14, fontSize: 11 }, { x, y: y("value"), text: { field: "label" } }, [
              { filter: `(datum.prompt === ${first} || datum.prompt === ${last}) && datum.above === ${above}` },
            ]),
          )
        : []),
    ],
  };
}

/** Specification of latency_vs_context.png, or null without measured speeds. */
export function latencyChart(report: ExperimentReport, summary: Summary): Spec | null {
  if (!report.latency.some((row) => row.tokensPerSec !== null && Number.isFinite(row.tokensPerSec))) return null;
  const rows = latencySlice(report.latency);
  const models = modelNames(report).filter((name) => rows.some((row) => row.model === name));
  const colour = colourScale(models, summary.roles.teacher, summary.roles.student);
  const { genLen = 0, batchSize = 0, n = 0 } = rows[0] ?? {};
  const slice = `${genLen} generated tokens, batch ${batchSize}`;
  const decode = rows.some((row) => row.decodeTokensPerSec !== null && Number.isFinite(row.decodeTokensPerSec));
  const panels = [
    panel(
      "Throughput, whole request",
      `${slice}; bars: ±1 s.d. of ${n} runs`,
      rows,
      (row) => row.tokensPerSec,
      true,
      colour,
    ),
  ];
  if (decode) panels.push(panel("Decoding alone", slice, rows, (row) => row.decodeTokensPerSec, false, colour));
  return { hconcat: panels };
}
