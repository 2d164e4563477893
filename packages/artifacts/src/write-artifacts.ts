// Writes a report's files into one new folder. Everything is made under a temporary name beside the place and renamed
// at the end, so that a folder with the right name is always whole; an existing folder is never touched.

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { latencyChart } from "./charts/latency-chart.ts";
import { memoryChart } from "./charts/memory-chart.ts";
import { type RenderedChart, renderChart } from "./charts/render.ts";
import { summaryChart } from "./charts/summary-chart.ts";
import type { Spec } from "./charts/theme.ts";
import { trainingChart } from "./charts/training-chart.ts";
import {
  LATENCY_COLUMNS,
  MEMORY_COLUMNS,
  PERPLEXITY_COLUMNS,
  TRAINING_COLUMNS,
  VERIFICATION_COLUMNS,
  verificationCells,
} from "./columns.ts";
import { evaluateCriteria } from "./criteria.ts";
import { csvText } from "./csv.ts";
import { ArtifactError } from "./errors.ts";
import { reportJson } from "./json.ts";
import { latexTables } from "./latex.ts";
import { reportMarkdown } from "./markdown.ts";
import type { ExperimentReport } from "./report.ts";
import { summarize } from "./summarize.ts";
import { folderStamp, parseTimestamp } from "./timestamp.ts";

/** Kinds of files. */
export type ArtifactFormat = "csv" | "json" | "png" | "latex" | "markdown";

/** Where and what to write. */
export interface WriteOptions {
  /** Parent of the folder `<name>_<YYYYMMDD_HHMMSS>`; default `artifacts`. */
  readonly root?: string;
  /** The folder itself, instead of one in `root`. It must not exist. */
  readonly dir?: string;
  /** Default: all. */
  readonly formats?: readonly ArtifactFormat[];
  /** Draws one chart; for tests of drawing that fails. */
  readonly render?: (spec: Spec) => Promise<Pick<RenderedChart, "png">>;
  /** Writes one file; for tests of full disks. */
  readonly write?: (path: string, data: string | Uint8Array) => Promise<void>;
}

/** What was written. */
export interface WrittenArtifacts {
  readonly dir: string;
  /** File names, sorted. */
  readonly files: readonly string[];
  /** Charts that could not be drawn, with the reason; the rest is written all the same. */
  readonly warnings: readonly string[];
}

/**
 * Writes a report.
 * @throws ArtifactError `disk-full` or `write` (nothing is left behind), `exists` for a given `dir` that is there,
 * `report` for a report that cannot be written as it is.
 */
export async function writeArtifacts(report: ExperimentReport, options: WriteOptions = {}): Promise<WrittenArtifacts> {
  const warnings: string[] = [];
  const files = await makeFiles(
    report,
    warnings,
    options.render ?? renderChart,
    new Set(options.formats ?? ["csv", "json", "png", "latex", "markdown"]),
  );
  const stamp = folderStamp(parseTimestamp(report.metadata.timestamp));
  const wanted = options.dir ?? join(options.root ?? "artifacts", `${folderName(report.metadata.name)}_${stamp}`);
  if (options.dir !== undefined && existsSync(options.dir))
    throw new ArtifactError(`${options.dir} exists already`, { code: "exists", remedy: "give another folder" });
  const temporary = join(dirname(wanted), `.${basename(wanted)}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    await mkdir(temporary, { recursive: true });
    for (const [name, data] of files) await (options.write ?? writeSynced)(join(temporary, name), data);
    const dir = await moveToFreeName(temporary, wanted);
    return { dir, files: [...files.keys()].sort(), warnings };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw explain(error, wanted);
  }
}

async function makeFiles(
  report: ExperimentReport,
  warnings: string[],
  render: (spec: Spec) => Promise<Pick<RenderedChart, "png">>,
  formats: ReadonlySet<ArtifactFormat>,
): Promise<Map<string, string | Uint8Array>> {
  const summary = summarize(report);
  const files = new Map<string, string | Uint8Array>();
  const charts: string[] = [];
  if (formats.has("png")) {
    const specs: readonly (readonly [string, Spec | null])[] = [
      ["summary.png", summaryChart(report, summary)],
      ["latency_vs_context.png", latencyChart(report, summary)],
      ["memory_scaling.png", memoryChart(report, summary)],
      ["training_curves.png", trainingChart(report)],
    ];
    for (const [name, spec] of specs) {
      if (!spec) continue;
      try {
        files.set(name, (await render(spec)).png);
        charts.push(name);
      } catch (error) {
        // The measurements took hours, the picture can be drawn again from the CSV.
        warnings.push(`${name} could not be drawn: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  if (formats.has("csv")) {
    files.set("perplexity.csv", csvText(PERPLEXITY_COLUMNS, report.perplexity));
    files.set("latency.csv", csvText(LATENCY_COLUMNS, report.latency));
    files.set("memory.csv", csvText(MEMORY_COLUMNS, report.memory));
    files.set("training.csv", csvText(TRAINING_COLUMNS, report.training));
    files.set("verification.csv", csvText(VERIFICATION_COLUMNS, verificationCells(report.verification)));
  }
  if (formats.has("latex")) files.set("tables.tex", latexTables(report, summary));
  if (formats.has("markdown")) files.set("report.md", reportMarkdown(report, summary, charts, warnings));
  if (formats.has("json")) {
    const json = reportJson(report, summary, evaluateCriteria(report, summary), new Date().toISOString());
    files.set("report.json", `${JSON.stringify(json, null, 2)}\n`);
  }
  return files;
}

/** A name that every file system takes. */
const folderName = (name: string): string =>
  name.replace(/[^A-Za-z0-9._-]+/g, "_").replace(/^\.+/, "_") || "experiment";

async function writeSynced(path: string, data: string | Uint8Array): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Renames to `wanted`, or to `wanted-2`, `-3` ... where that is taken. */
async function moveToFreeName(from: string, wanted: string): Promise<string> {
  for (let n = 1; ; n++) {
    const to = n === 1 ? wanted : `${wanted}-${n}`;
    if (existsSync(to)) continue;
    await rename(from, to);
    return to;
  }
}

function explain(error: unknown, place: string): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof ArtifactError || typeof code !== "string") return error;
  const reason = error instanceof Error ? error.message : String(error);
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG"
    ? new ArtifactError(`${place} could not be written: the disk is full`, {
        code: "disk-full",
        remedy: "free some space and run again: finished runs are not repeated",
        cause: error,
      })
    : new ArtifactError(`${place} could not be written: ${reason}`, {
        code: "write",
        remedy: "check the path and its permissions, or choose another with --artifacts-dir",
        cause: error,
      });
}
