/** Collects the mistakes of one manifest and gives each its line, column and excerpt. */
import type { ConfigIssue } from "./error.ts";
import { type Located, type LocatedMap, locate, type Span } from "./located.ts";
import { Lines, type ManifestIssue } from "./manifest-error.ts";
import type { SourceIssue } from "./source.ts";

/** What the message of a value with an unresolved `${name}` ends in, where no vars section is. */
const noVariables = "variables need a vars section";

export class Placing {
  readonly #issues: ManifestIssue[] = [];
  /** One slip in a variable shows wherever it is used; issues of the same cause are told once. */
  readonly #causes = new Map<ManifestIssue, string>();
  readonly #lines: Lines;
  readonly #file: string;

  constructor(text: string, file: string) {
    this.#lines = new Lines(text);
    this.#file = file;
  }

  get empty(): boolean {
    return this.#issues.length === 0;
  }

  /** In the order of the text, each place and message once, and each cause. */
  all(): ManifestIssue[] {
    const seen = new Set<string>();
    const distinct = this.#issues
      .sort(
        (a, b) => Number(a.file !== this.#file) - Number(b.file !== this.#file) || a.start - b.start || a.end - b.end,
      )
      .filter((issue) => {
        // Several keys may be missing from one mapping, at one place; what an anchor repeats has one name.
        const key = `${issue.file} ${issue.start} ${issue.path.at(-1)} ${issue.message}`;
        return !seen.has(key) && seen.add(key) !== undefined;
      });
    const uses = new Map<string, number>();
    for (const issue of distinct) {
      const cause = this.#causes.get(issue);
      if (cause !== undefined) uses.set(cause, (uses.get(cause) ?? 0) + 1);
    }
    const told = new Set(distinct.some(aboutVariables) ? [noVariables] : []);
    return distinct.flatMap((issue) => {
      const cause = this.#causes.get(issue);
      if (cause === undefined) return [issue];
      if (told.has(cause)) return [];
      told.add(cause);
      const others = (uses.get(cause) ?? 1) - 1;
      const also = others === 0 ? "" : `, and in ${others} more ${others === 1 ? "place" : "places"}`;
      return [{ ...issue, message: issue.message + also }];
    });
  }

  /** A mistake whose place is known. */
  at({ span, ...issue }: SourceIssue | (ConfigIssue & { span: Span }), cause?: string): void {
    const lines = span.origin === undefined ? this.#lines : new Lines(span.origin.text);
    const file = span.origin?.file ?? this.#file;
    const { line, column } = lines.position(span.start);
    const excerpt = lines.excerpt(span.start, span.end);
    const placed: ManifestIssue = { ...issue, file, line, column, start: span.start, end: span.end, excerpt };
    this.#issues.push(placed);
    if (cause !== undefined) this.#causes.set(placed, cause);
    else if (issue.code === "variable") this.#causes.set(placed, issue.message);
  }

  /** A mistake found in the data: point at the value, the unknown key, or the mapping that lacks a key. */
  on(issue: ConfigIssue, root: LocatedMap, written: LocatedMap): void {
    const place = locate(root, issue.path);
    const { value, key, deepest } = place;
    if (issue.code !== "unknown_key" && value !== null && this.#unresolved(value)) return;
    const start: Span = { ...deepest.span, end: deepest.span.start + 1 };
    const span =
      value === null || issue.code === "unknown_key" || value.kind !== "scalar" ? (key ?? start) : value.span;
    const message =
      issue.code === "unknown_key" ? issue.message : issue.message + this.#origin(place.variable, written);
    const cause = issue.message.includes(noVariables)
      ? noVariables
      : place.variable !== null && ["wrong_type", "invalid_value", "unknown_name"].includes(issue.code)
        ? message
        : undefined;
    this.at({ ...issue, path: place.path, message, span }, cause);
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

/** A section of variables that cannot be read, or is misspelt. */
function aboutVariables({ path, code, suggestion }: ManifestIssue): boolean {
  return path.length === 1 && (path[0] === "vars" || (code === "unknown_key" && suggestion === "vars"));
}
