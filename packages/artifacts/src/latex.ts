// tables.tex: the result table of the guide (Metric, Teacher, Student, Change) and a table of latency percentiles.
// booktabs only. Every number has its unit, the perplexity ratio its interval, and a note under the table states the
// baseline and the method, so that the table can be read alone.

import { count, fixed, integer, NOT_AVAILABLE, percent, quotient } from "./format.ts";
import { escapeLatex, latexComment } from "./latex-escape.ts";
import { methodNotes } from "./notes.ts";
import type { ExperimentReport, LatencyRow, Measured } from "./report.ts";
import { headlinePerplexity, meanOf, modelNames, type Summary, sharedLatency } from "./summarize.ts";
import { parseTimestamp } from "./timestamp.ts";

const MAX_LATENCY_ROWS = 40;

/** Inside the float, so for this table only: both tables fit the text width of a plain article. */
const FITTING = ["\\footnotesize", "\\setlength{\\tabcolsep}{3.5pt}"];

/** Number text to LaTeX: minus signs, infinity and powers of ten in math. */
function math(text: string): string {
  if (text === NOT_AVAILABLE || text === "NaN") return text;
  const power = /^(-?[\d.]+)e([+-]?)(\d+)$/.exec(text);
  if (power) return `$${power[1]}\\times 10^{${power[2] === "-" ? "-" : ""}${power[3]}}$`;
  return escapeLatex(text).replace(/^-(?=\d)/, "$-$");
}

function times(value: Measured): string {
  return value === null ? NOT_AVAILABLE : `${math(fixed(value, 2))}$\\times$`;
}

function capitalised(name: string): string {
  return escapeLatex(name.charAt(0).toUpperCase() + name.slice(1));
}

interface MetricRow {
  readonly label: string;
  readonly of: (model: string) => Measured;
  readonly show: (value: Measured) => string;
  readonly change: string;
}

function smaller(reduction: Measured): string {
  if (reduction === null) return NOT_AVAILABLE;
  if (reduction === 1) return "equal";
  return reduction > 1 ? `${times(reduction)} smaller` : `${times(1 / reduction)} larger`;
}

function metricRows(report: ExperimentReport, summary: Summary, models: readonly string[]): MetricRow[] {
  const shared = sharedLatency(
    report.latency,
    models.filter((name) => report.latency.some((row) => row.model === name)),
  );
  const cells = shared.length > 0 ? shared : report.latency;
  const speed = (of: (row: LatencyRow) => Measured) => (model: string) =>
    meanOf(cells.filter((row) => row.model === model).map(of));
  const facts = (model: string) => report.models.find((each) => each.name === model);
  const kind = summary.kvKind;
  const change = (of: (model: string) => Measured): Measured =>
    quotient(of(summary.roles.student), of(summary.roles.teacher));
  const ci = summary.perplexityRatioCi;
  const interval = ci === null ? "" : ` [${math(fixed(ci[0], 3))}, ${math(fixed(ci[1], 3))}]`;
  const perplexity = (model: string): Measured => headlinePerplexity(report, model)?.perplexity ?? null;
  const elements = (model: string): Measured => facts(model)?.kvElementsPerToken ?? null;
  const keys = (model: string): Measured => facts(model)?.kOnlyElementsPerToken ?? null;
  const parameters = (model: string): Measured => facts(model)?.parameters ?? null;
  const inverse = (of: (model: string) => Measured): string =>
    smaller(quotient(of(summary.roles.teacher), of(summary.roles.student)));
  const rows: MetricRow[] = [
    {
      label: "Perplexity $\\downarrow$",
      of: perplexity,
      show: (value) => math(fixed(value, 2)),
      change: `${times(summary.perplexityRatio)}${interval}`,
    },
    {
      label: "Cross-entropy (nats/token) $\\downarrow$",
      of: (model) => headlinePerplexity(report, model)?.crossEntropy ?? null,
      show: (value) => math(fixed(value, 3)),
      change: "",
    },
    {
      label: "Throughput (tok/s) $\\uparrow$",
      of: speed((row) => row.tokensPerSec),
      show: (value) => math(fixed(value, 0)),
      change: times(summary.speedup),
    },
    {
      label: "Decode only (tok/s) $\\uparrow$",
      of: speed((row) => row.decodeTokensPerSec),
      show: (value) => math(fixed(value, 0)),
      change: times(summary.decodeSpeedup),
    },
    {
      label: `KV cache, K and V${kind === null ? "" : `, ${escapeLatex(kind)}`} (bytes/tok) $\\downarrow$`,
      of: (model) => (kind === null ? null : (facts(model)?.kvBytesPerToken[kind] ?? null)),
      show: (value) => math(integer(value)),
      change: smaller(summary.kvReduction),
    },
    {
      label: "KV cache, K and V (elements/tok)",
      of: elements,
      show: (value) => math(integer(value)),
      change: inverse(elements),
    },
    {
      label: "KV cache, K alone (elements/tok)",
      of: keys,
      show: (value) => math(integer(value)),
      change: inverse(keys),
    },
    { label: "Parameters", of: parameters, show: (value) => math(count(value)), change: times(change(parameters)) },
  ];
  return rows.filter((row) => models.some((model) => row.of(model) !== null));
}

function resultTable(report: ExperimentReport, summary: Summary): string[] {
  const models = modelNames(report);
  const { teacher, student } = summary.roles;
  const pair = models.includes(teacher) && models.includes(student);
  const name = escapeLatex(report.metadata.name);
  const header = ["Metric", ...models.map(capitalised), ...(pair ? ["Change"] : [])];
  const rows = metricRows(report, summary, models).map((row) =>
    [row.label, ...models.map((model) => row.show(row.of(model))), ...(pair ? [row.change] : [])].join(" & "),
  );
  return [
    "\\begin{table}[h]",
    "\\centering",
    `\\caption{${pair ? "DBA Upcycle Results" : "Results"}: ${name}}`,
    "\\label{tab:dba-results}",
    ...FITTING,
    `\\begin{tabular}{l${"r".repeat(header.length - 1)}}`,
    "\\toprule",
    `${header.map((text) => `\\textbf{${text}}`).join(" & ")} \\\\`,
    "\\midrule",
    ...rows.map((row) => `${row} \\\\`),
    "\\bottomrule",
    "\\end{tabular}",
    "",
    "\\smallskip",
    `\\parbox{0.95\\linewidth}{\\footnotesize ${methodNotes(report, summary).map(escapeLatex).join(" ")}}`,
    "\\end{table}",
  ];
}

function latencyTable(report: ExperimentReport): string[] {
  const all = report.latency;
  if (all.length === 0) return [];
  const smallest = Math.min(...all.map((row) => row.batchSize));
  const rows = all.length <= MAX_LATENCY_ROWS ? all : all.filter((row) => row.batchSize === smallest);
  const shown = rows.slice(0, MAX_LATENCY_ROWS);
  const note = [
    "TTFT: time to first token. ITL: time between tokens, percentiles over all decoded tokens.",
    shown.length < all.length ? `${shown.length} of ${all.length} rows; all are in latency.csv.` : "",
  ];
  const ms = (value: Measured): string => math(fixed(value, 2));
  return [
    "\\begin{table}[h]",
    "\\centering",
    `\\caption{Latency: ${escapeLatex(report.metadata.name)}}`,
    "\\label{tab:latency}",
    ...FITTING,
    "\\begin{tabular}{lrrrlrrrrrr}",
    "\\toprule",
    " & & & & & \\multicolumn{1}{c}{TTFT} & \\multicolumn{3}{c}{ITL (ms)} & \\multicolumn{2}{c}{tok/s} \\\\",
    "\\cmidrule(lr){7-9} \\cmidrule(l){10-11}",
    "Model & Prompt & Gen & Batch & Cache & \\multicolumn{1}{c}{(ms)} & p50 & p95 & p99 & decode & whole \\\\",
    "\\midrule",
    ...shown
      .map((row) =>
        [
          escapeLatex(row.model),
          row.promptLen,
          row.genLen,
          row.batchSize,
          row.useCache ? escapeLatex(row.cacheKind ?? NOT_AVAILABLE) : "none",
          ms(row.ttftMs),
          ms(row.itlP50Ms),
          ms(row.itlP95Ms),
          ms(row.itlP99Ms),
          math(fixed(row.decodeTokensPerSec, 0)),
          math(fixed(row.tokensPerSec, 0)),
        ].join(" & "),
      )
      .map((row) => `${row} \\\\`),
    "\\bottomrule",
    "\\end{tabular}",
    "",
    "\\smallskip",
    `\\parbox{0.95\\linewidth}{\\footnotesize ${note
      .filter((text) => text !== "")
      .map(escapeLatex)
      .join(" ")}}`,
    "\\end{table}",
  ];
}

/** The text of tables.tex. */
export function latexTables(report: ExperimentReport, summary: Summary): string {
  const { metadata } = report;
  const spread = percent(report.comparison?.confidence ?? null, 0);
  const lines = [
    latexComment(`Date: ${parseTimestamp(metadata.timestamp).toISOString()}`),
    latexComment(`Experiment: ${metadata.name}`),
    "% Needs \\usepackage{booktabs}",
    "",
    ...resultTable(report, summary),
    "",
    ...latencyTable(report),
    "",
    latexComment(`Teacher: ${metadata.teacherCheckpoint ?? NOT_AVAILABLE}`),
    latexComment(`Student: ${metadata.studentConfig ?? NOT_AVAILABLE}`),
    latexComment(`Device: ${metadata.device ?? NOT_AVAILABLE}`),
    ...(report.comparison === null ? [] : [latexComment(`Interval: ${spread}, ${report.comparison.method}`)]),
  ];
  return `${lines.join("\n")}\n`;
}
