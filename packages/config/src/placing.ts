/** Collects the mistakes of one manifest and gives each its line, column and excerpt. */
import type { ConfigIssue } from "./error.ts";
import { type Located, type LocatedMap, locate, type Span } from "./located.ts";
import { Lines, type ManifestIssue } from "./manifest-error.ts";
import type { SourceIssue } from "./source.ts";

export class Placing {
  readonly #issues: ManifestIssue[] = [];
  readonly #lines: Lines;
  readonly #file: string;

  constructor(text: string, file: string) {
    this.#lines = new Lines(text);
    this.#file = file;
  }

  get empty(): boolean {
    return this.#issues.length === 0;
  }

  /** In the order of the text, each place and message once. */
  all(): ManifestIssue[] {
    const seen = new Set<string>();
    return this.#issues
      .sort(
        (a, b) => Number(a.file !== this.#file) - Number(b.file !== this.#file) || a.start - b.start || a.end - b.end,
      )
      .filter((issue) => {
        const key = `${issue.file} ${issue.start} ${issue.message}`;
        return !seen.has(key) && seen.add(key) !== undefined;
      });
  }

  /** A mistake whose place is known. */
  at({ span, ...issue }: SourceIssue | (ConfigIssue & { span: Span })): void {
    const lines = span.origin === undefined ? this.#lines : new Lines(span.origin.text);
    const file = span.origin?.file ?? this.#file;
    const { line, column } = lines.position(span.start);
    const excerpt = lines.excerpt(span.start, span.end);
    this.#issues.push({ ...issue, file, line, column, start: span.start, end: span.end, excerpt });
  }

  /** A mistake found in the data: point at the value, the unknown key, or the mapping that lacks a key. */
  on(issue: ConfigIssue, root: LocatedMap, written: LocatedMap): void {
    const place = locate(root, issue.path);
    const { value, key, deepest } = place;
    if (issue.code !== "unknown_key" && value !== null && this.#unresolved(value)) return;
    const start: Span = { ...deepest.span, end: deepest.span.start + 1 };
    const span =
      value === null || issue.code === "unknown_key" || value.kind !== "scalar" ? (key ?? start) : value.span;
    this.at({ ...issue, path: place.path, message: issue.message + this.#origin(place.variable, written), span });
  }

  /** A value that stands in for something reported already: a broken alias, or a placeholder after a mistake in vars. */
  #unresolved(value: Located): boolean {
    if (value.kind !== "scalar") return false;
    const placeholder = typeof value.value === "string" && /\$\{\w+\}/.test(value.value);
    return this.#issues.some(
      (issue) =>
        (placeholder && issue.code === "variable") || (value.value === null && issue.start === value.span.start),
    );
  }

  #origin(variable: string | null, written: LocatedMap): string {
    const definition = variable === null ? null : locate(written, ["vars", variable]).key;
    return definition === null
      ? ""
      : `; the value is \${${variable}} from line ${this.#lines.position(definition.start).line}`;
  }
}
