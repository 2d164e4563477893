// report.md: the experiment on one page. What was run, what came out against the goals, the tables, how the numbers
// came about, and what the models write.

import { evaluateCriteria } from "./criteria.ts";
import { count, fixed, integer, NOT_AVAILABLE, percent } from "./format.ts";
import { methodNotes } from "./notes.ts";
import type { ExperimentReport, Measured } from "./report.ts";
import { modelNames, type Summary } from "./summarize.ts";

const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [row(head), row(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(row)];
}

const times = (value: Measured): string => (value === null ? NOT_AVAILABLE : `${fixed(value, 3)}x`);

function headline(summary: Summary): string[] {
  const { perplexity, tokensPerSec, decodeTokensPerSec, prefillTokensPerSec, kvBytesPerToken } = summary;
  return table(
    ["Metric", "Teacher", "Student", "Change"],
    [
      ["Perplexity", fixed(perplexity.teacher, 3), fixed(perplexity.student, 3), times(summary.perplexityRatio)],
      [
        "Throughput, whole request (tokens/s)",
        fixed(tokensPerSec.teacher, 1),
        fixed(tokensPerSec.student, 1),
        times(summary.speedup),
      ],
      [
        "Decode (tokens/s)",
        fixed(decodeTokensPerSec.teacher, 1),
        fixed(decodeTokensPerSec.student, 1),
        times(summary.decodeSpeedup),
      ],
      ["Prefill (tokens/s)", fixed(prefillTokensPerSec.teacher, 1), fixed(prefillTokensPerSec.student, 1), ""],
      [
        `KV cache (bytes/token, ${summary.kvKind ?? NOT_AVAILABLE}, K and V, all layers)`,
        integer(kvBytesPerToken.teacher),
        integer(kvBytesPerToken.student),
        times(summary.kvFraction),
      ],
    ],
  );
}

function code(text: string): string[] {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((match) => match[0].length));
  const fence = "`".repeat(longest + 1);
  return [`${fence}text`, text, fence];
}

/** The text of report.md; `charts` are the file names of the pictures that exist, `warnings` what is missing and why. */
export function reportMarkdown(
  report: ExperimentReport,
  summary: Summary,
  charts: readonly string[],
  warnings: readonly string[] = [],
): string {
  const { metadata } = report;
  const { versions } = metadata;
  const lines = [
    `# ${metadata.name}`,
    "",
    metadata.notes ?? "",
    "",
    `${metadata.timestamp}, ${metadata.device ?? NOT_AVAILABLE}, Caramba ${versions.caramba ?? NOT_AVAILABLE}, Node ${versions.node ?? NOT_AVAILABLE}, ${versions.cpu ?? NOT_AVAILABLE}`,
    "",
    "## Results",
    "",
    ...headline(summary),
    "",
    "## Goals",
    "",
    ...table(
      ["Goal", "Measured", "Status", "Remark"],
      evaluateCriteria(report, summary).map(({ goal, measured, status, remark }) => [goal, measured, status, remark]),
    ),
    "",
    "## Models",
    "",
    ...table(
      ["Model", "Parameters", "KV elements/token", "of them K", "FLOPs/token"],
      report.models.map((m) => [
        m.name,
        count(m.parameters),
        integer(m.kvElementsPerToken),
        integer(m.kOnlyElementsPerToken),
        count(m.flopsPerToken),
      ]),
    ),
  ];
  if (report.verification.length > 0)
    lines.push(
      "",
      "## Verification",
      "",
      ...table(
        ["Run", "Type", "Passed", "Violations"],
        report.verification.map((v) => [v.run, v.type, v.passed ? "yes" : "no", v.violations.join("; ")]),
      ),
    );
  lines.push("", "## How the numbers came about", "", ...methodNotes(report, summary).map((note) => `- ${note}`));
  for (const warning of warnings) lines.push("", `**${warning}**`);
  for (const chart of charts) lines.push("", `![${chart}](${chart})`);
  if (report.samples.length > 0) {
    lines.push("", "## Samples");
    for (const name of modelNames(report))
      for (const sample of report.samples.filter((s) => s.model === name))
        lines.push(
          "",
          `${sample.model}, given:`,
          "",
          ...code(sample.prompt),
          "",
          "goes on:",
          "",
          ...code(sample.completion),
        );
  }
  const spread = summary.perplexityRatioCi;
  if (spread && report.comparison)
    lines.push(
      "",
      `The ${percent(report.comparison.confidence, 0)} interval of the perplexity ratio is ${fixed(spread[0], 4)} to ${fixed(spread[1], 4)}.`,
    );
  return `${lines.join("\n")}\n`;
}
