// The end of a run on one screen: teacher against student, sample completions, where the files are.
import type { ExperimentResult } from "@caramba/experiment";
import { kvBytesPerToken, parameterCount } from "@caramba/model";

type TargetOutcome = ExperimentResult["targets"][number];

/** Lines of the summary. */
export function summaryLines(result: ExperimentResult): string[] {
  const last = result.targets[result.targets.length - 1];
  if (result.status === "interrupted")
    return [
      last?.status === "interrupted"
        ? `Interrupted; the state is saved in ${last.folder}. Run the same command again to go on from there.`
        : "Interrupted; what was finished is kept. Run the same command again to go on from there.",
    ];
  return result.targets.flatMap((target) => targetLines(target));
}

/** The same for programs. */
export function summaryObject(result: ExperimentResult): Record<string, unknown> {
  return {
    name: result.plan.name,
    status: result.status,
    targets: result.targets.map(({ target, status, folder, artifacts, runs, verifications, benchmarks, ...rest }) => ({
      name: target.name,
      status,
      checkpoints: folder,
      artifacts,
      parameters: parameterCount(rest.student),
      kvBytesPerToken: kvBytesPerToken(rest.student),
      runs: runs.map(({ run, outcome: { status: ended, step, finalLoss, resumedFrom } }) => ({
        ...{ id: run.id, status: ended, step, finalLoss, resumedFrom },
      })),
      verifications: verifications.map(({ run, result: verified }) => ({ run, ...verified })),
      perplexity: benchmarks?.perplexity ?? [],
      comparison: benchmarks?.comparison ?? null,
      latency: benchmarks?.latency ?? [],
      memory: benchmarks?.memory ?? [],
    })),
  };
}

function targetLines(target: TargetOutcome): string[] {
  const lines = ["", `== ${target.target.name} ==`];
  for (const { run, outcome } of target.runs)
    lines.push(
      `run ${run.id}: ${outcome.status} at step ${outcome.step}${outcome.finalLoss === null ? "" : `, loss ${outcome.finalLoss.toFixed(4)}`}`,
    );
  for (const { run, result } of target.verifications)
    lines.push(
      `verify ${run} (${result.type}): ${result.passed ? "passed" : `not passed: ${result.violations.join("; ")}`}`,
    );
  if (target.benchmarks) lines.push("", ...table(target), ...verdict(target));
  for (const sample of target.samples)
    lines.push(
      "",
      `${sample.model} goes on from held-out text:`,
      quote(sample.prompt),
      `  => ${quote(sample.completion).trimStart()}`,
    );
  if (target.artifacts) lines.push("", `report       ${target.artifacts}`);
  lines.push(`checkpoints  ${target.folder}`);
  return lines;
}

const quote = (text: string): string => `  ${JSON.stringify(text.length > 240 ? `${text.slice(0, 240)}...` : text)}`;

interface Row {
  readonly name: string;
  readonly teacher: number | null;
  readonly student: number | null;
  readonly digits: number;
  /** Whether the change is given as teacher over student. */
  readonly reduction?: boolean;
}

function table({ benchmarks, teacher, student }: TargetOutcome): string[] {
  const perplexity = (name: string) => benchmarks?.perplexity.find((r) => r.model === name)?.perplexity ?? null;
  const speed = (name: string, key: "decodeTokensPerSec" | "prefillTokensPerSec") => {
    const rows = benchmarks?.latency.filter((r) => r.model === name) ?? [];
    return rows[rows.length - 1]?.[key] ?? null;
  };
  const context = benchmarks?.latency[benchmarks.latency.length - 1]?.promptLen;
  const rows: Row[] = [
    {
      name: "parameters",
      teacher: teacher && parameterCount(teacher),
      student: parameterCount(student),
      digits: 0,
    },
    { name: "perplexity (held out)", teacher: perplexity("teacher"), student: perplexity("student"), digits: 3 },
    {
      name: "KV-cache bytes/token (fp16)",
      teacher: teacher && kvBytesPerToken(teacher),
      student: kvBytesPerToken(student),
      digits: 0,
    },
    {
      name: `decode tokens/s (context ${context ?? "-"})`,
      teacher: speed("teacher", "decodeTokensPerSec"),
      student: speed("student", "decodeTokensPerSec"),
      digits: 0,
    },
    {
      name: `prefill tokens/s (prompt ${context ?? "-"})`,
      teacher: speed("teacher", "prefillTokensPerSec"),
      student: speed("student", "prefillTokensPerSec"),
      digits: 0,
    },
  ];
  const cells = rows.map(({ name, teacher: t, student: s, digits }) => [
    name,
    format(t, digits),
    format(s, digits),
    t === null || s === null || t === 0 ? "-" : `${(s / t).toFixed(3)}x`,
  ]);
  const all = [["", "teacher", "student", "ratio"], ...cells];
  const widths = [0, 1, 2, 3].map((c) => Math.max(...all.map((row) => (row[c] ?? "").length)));
  return all.map((row) =>
    row.map((cell, c) => (c === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[c] ?? 0))).join("  "),
  );
}

const format = (value: number | null, digits: number): string =>
  value === null
    ? "-"
    : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function verdict({ benchmarks, teacher, student }: TargetOutcome): string[] {
  const comparison = benchmarks?.comparison;
  if (!comparison || !teacher) return [];
  const { ratio, ciLow, ciHigh, confidence } = comparison;
  const interval =
    ciLow === null || ciHigh === null
      ? ""
      : ` (${confidence * 100} % interval ${ciLow.toFixed(4)} to ${ciHigh.toFixed(4)})`;
  const kv = kvBytesPerToken(student) / kvBytesPerToken(teacher);
  const goal = (value: number, limit: number) =>
    value <= limit ? `met, at most ${limit}` : `missed by ${(value - limit).toFixed(4)}, at most ${limit}`;
  return [
    "",
    `perplexity ratio ${ratio.toFixed(4)}${interval}: goal ${goal(ratio, 1.1)}`,
    `KV-cache ratio   ${kv.toFixed(4)} (K and V, all layers): goal ${goal(kv, 0.65)}`,
  ];
}
