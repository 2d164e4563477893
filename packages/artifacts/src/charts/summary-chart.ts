// summary.png: perplexity (with confidence intervals), throughput and KV bytes per token as three bar panels, each with
// its ratio in the title and its value on every bar.

import { compact, fixed, integer } from "../format.ts";
import type { ExperimentReport } from "../report.ts";
import { headlinePerplexity, meanOf, modelNames, type Summary, sharedLatency } from "../summarize.ts";
import { colourScale, haloText, NUMBER_AXIS, type Spec } from "./theme.ts";

/** Beyond this quotient of largest to smallest bar the axis is logarithmic, else the small ones vanish. */
const LOG_FROM = 100;

interface Bar {
  readonly model: string;
  readonly value: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly label: string;
}

interface Panel {
  readonly title: string;
  readonly subtitle: string;
  readonly axis: string;
  readonly bars: readonly Bar[];
}

function finite(value: number | null | undefined): number | null {
  return value !== null && value !== undefined && Number.isFinite(value) ? value : null;
}

function perplexityPanel(report: ExperimentReport, summary: Summary, models: readonly string[]): Panel {
  const ratio = summary.perplexityRatio;
  const ci = summary.perplexityRatioCi;
  const bars = models.map((model): Bar => {
    const row = headlinePerplexity(report, model);
    const value = finite(row?.perplexity);
    return {
      model,
      value,
      low: value === null ? null : finite(row?.ciLow),
      high: value === null ? null : finite(row?.ciHigh),
      label: fixed(row?.perplexity, (value ?? 0) >= 1000 ? 0 : 2),
    };
  });
  const interval = ci === null ? "" : ` (${fixed(ci[0], 3)} to ${fixed(ci[1], 3)})`;
  return {
    title: "Perplexity ↓",
    subtitle: ratio === null ? "lower is better" : `ratio ${fixed(ratio, 3)}${interval}`,
    axis: "Perplexity",
    bars,
  };
}

function throughputPanel(report: ExperimentReport, summary: Summary, models: readonly string[]): Panel {
  const ran = models.filter((model) => report.latency.some((row) => row.model === model));
  const shared = sharedLatency(report.latency, ran);
  const rows = shared.length > 0 ? shared : report.latency;
  const bars = models.map((model): Bar => {
    const value = meanOf(rows.filter((row) => row.model === model).map((row) => row.tokensPerSec));
    return { model, value: finite(value), low: null, high: null, label: compact(value) };
  });
  return {
    title: "Throughput ↑",
    subtitle: summary.speedup === null ? "higher is better" : `${fixed(summary.speedup, 2)}× of the baseline`,
    axis: "Tokens/s (whole request)",
    bars,
  };
}

function cachePanel(report: ExperimentReport, summary: Summary, models: readonly string[]): Panel {
  const kind = summary.kvKind;
  const bars = models.map((model): Bar => {
    const facts = report.models.find((each) => each.name === model);
    const value = kind === null ? null : (facts?.kvBytesPerToken[kind] ?? null);
    return { model, value: finite(value), low: null, high: null, label: integer(value) };
  });
  const fraction = summary.kvFraction;
  return {
    title: "KV cache ↓",
    subtitle: fraction === null ? "lower is better" : `${fixed(fraction, 2)} of the baseline's bytes`,
    axis: `Bytes per token${kind === null ? "" : ` (${kind})`}`,
    bars,
  };
}

function panelSpec(panel: Panel, colour: Spec, models: readonly string[]): Spec {
  const width = Math.max(170, 62 * models.length);
  const sizes = panel.bars.flatMap((bar) => [bar.value, bar.high]).filter((value): value is number => value !== null);
  const positive = sizes.filter((value) => value > 0);
  const largest = Math.max(0, ...positive);
  const smallest = Math.min(largest, ...positive);
  const log = smallest > 0 && largest / smallest > LOG_FROM;
  const floor = log ? 10 ** Math.floor(Math.log10(smallest) - 0.3) : 0;
  // Head room for the labels above the bars.
  const top = log ? largest * (largest / floor) ** 0.1 : largest * 1.15;
  const scale = log
    ? { type: "log", domain: [floor, top], nice: false }
    : { domain: [0, top > 0 ? top : 1], nice: false };
  const measured = panel.bars.some((bar) => bar.value !== null);
  const long = models.some((name) => name.length > 9);
  const values = panel.bars.map((bar) => ({
    ...bar,
    floor,
    drawn: bar.value === null ? null : Math.max(bar.value, floor),
    labelAt: bar.value === null ? floor : Math.max(bar.high ?? bar.value, bar.value, floor),
  }));
  const y = (field: string): Spec => ({
    field,
    type: "quantitative",
    scale,
    axis: measured
      ? { title: panel.axis + (log ? ", log scale" : ""), labelExpr: NUMBER_AXIS, tickCount: log ? 4 : 6 }
      : { title: panel.axis, labels: false, grid: false },
  });
  const x = {
    field: "model",
    type: "nominal",
    sort: null,
    axis: {
      title: null,
      labelAngle: long ? -30 : 0,
      labelLimit: 130,
      ticks: false,
      labelPadding: 6,
      labelFontSize: 12,
    },
    // Named, or a bar that cannot be drawn (perplexity ∞) would move to the end of its panel alone.
    scale: { domain: models, paddingInner: 0.35, paddingOuter: 0.25 },
  };
  return {
    title: { text: panel.title, subtitle: panel.subtitle },
    width,
    height: 250,
    data: { values },
    encoding: { x },
    layer: [
      {
        mark: { type: "bar" },
        encoding: {
          y: y("drawn"),
          y2: { field: "floor" },
          color: { field: "model", type: "nominal", scale: colour, legend: null },
        },
      },
      {
        transform: [{ filter: "isValid(datum.low) && isValid(datum.high)" }],
        mark: { type: "rule", strokeWidth: 1.4, color: "#222" },
        encoding: { y: y("low"), y2: { field: "high" } },
      },
      ...["low", "high"].map((end) => ({
        transform: [{ filter: "isValid(datum.low) && isValid(datum.high)" }],
        mark: { type: "tick", orient: "horizontal", size: 12, thickness: 1.4, color: "#222" },
        encoding: { y: y(end) },
      })),
      ...haloText({ dy: -9 }, { y: y("labelAt"), text: { field: "label" } }),
    ],
  };
}

/** Specification of summary.png, or null when the report has nothing to compare. */
export function summaryChart(report: ExperimentReport, summary: Summary): Spec | null {
  const models = modelNames(report);
  const panels = [perplexityPanel, throughputPanel, cachePanel].map((make) => make(report, summary, models));
  if (!panels.some((panel) => panel.bars.some((bar) => bar.value !== null))) return null;
  const colour = colourScale(models, summary.roles.teacher, summary.roles.student);
  return {
    hconcat: panels.map((panel) => panelSpec(panel, colour, models)),
  };
}
