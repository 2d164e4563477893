/**
 * What is wrong with a manifest, as data with positions and as text a person can act on:
 *
 *   exp.yml:12:9: targets[0].runs[0].train.lr: expected a number greater than 0, found -1
 *       12 |         lr: -1
 *          |             ^^
 */
import { type ConfigIssue, formatPath, sentence } from "./error.ts";

/** One mistake in a manifest; paths in manifest spelling, line and column from 1. */
export interface ManifestIssue extends ConfigIssue {
  file: string;
  line: number;
  column: number;
  /** Offsets into the text. */
  start: number;
  end: number;
  /** The line with a caret below. */
  excerpt: string;
}

/** Lines of a text, to turn offsets into lines and columns. */
export class Lines {
  readonly #text: string;
  readonly #starts: number[] = [0];

  constructor(text: string) {
    this.#text = text;
    for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) this.#starts.push(at + 1);
  }

  /** Line and column from 1 (columns in UTF-16 units, as editors count them). */
  position(offset: number): { line: number; column: number } {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (this.#starts[low] ?? 0) + 1 };
  }

  /** The line of an offset with carets under the span (one line, at most 100 columns around it). */
  excerpt(start: number, end: number): string {
    const { line, column } = this.position(start);
    const from = this.#starts[line - 1] ?? 0;
    const full = this.#text.slice(from, this.#starts[line] ?? this.#text.length).replace(/\r?\n$/, "");
    const cut = column > 80 ? column - 40 : 0;
    const shown = full.slice(cut, cut + 100).replaceAll("\t", " ");
    const width = Math.max(1, Math.min(end - start, shown.length - (column - 1 - cut)));
    const number = String(line);
    const bar = " ".repeat(number.length);
    return `    ${number} | ${shown}\n    ${bar} | ${" ".repeat(column - 1 - cut)}${"^".repeat(width)}`;
  }
}

/** `file:line:column: path: sentence` and the excerpt. */
export function formatIssue(issue: ManifestIssue): string {
  return `${issue.file}:${issue.line}:${issue.column}: ${formatPath(issue.path)}: ${sentence(issue)}\n${issue.excerpt}`;
}

/** A manifest cannot be used; `issues` holds every mistake found, in the order of the text. */
export class ManifestError extends Error {
  readonly code: string = "MANIFEST_INVALID";
  readonly remedy: string;
  readonly issues: readonly ManifestIssue[];

  constructor(file: string, issues: readonly ManifestIssue[]) {
    const count = issues.length === 1 ? "1 mistake" : `${issues.length} mistakes`;
    super([`${file}: ${count}`, ...issues.map(formatIssue)].join("\n"));
    this.name = "ManifestError";
    this.issues = issues;
    const inText = issues.some((issue) => issue.file === file);
    const what = `${inText ? "line" : "setting"}${issues.length === 1 ? "" : "s"} marked${inText ? ` in ${file}` : ""}`;
    this.remedy = `Correct the ${what} and run the command again.`;
  }
}
