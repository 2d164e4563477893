/**
 * Manifest text to plan: read the source, substitute variables, check the schema of its form, lower, and give every
 * mistake the place in the text that must change. Pure: text in, objects out; works in a browser.
 */
import type { ConfigIssue } from "./error.ts";
import { check } from "./issues.ts";
import { type Located, type LocatedMap, locate, maxDepth, maxSize, type Span, toPlain } from "./located.ts";
import { lowerManifest } from "./lower.ts";
import { groupManifestSchema, type Manifest, targetManifestSchema } from "./manifest.ts";
import { Lines, ManifestError, type ManifestIssue } from "./manifest-error.ts";
import type { Plan } from "./plan.ts";
import { readSource, type SourceIssue } from "./source.ts";
import { substituteVariables } from "./vars.ts";

export interface ParseOptions {
  /** Shown in messages; `.json` makes the text be read as strict JSON. Default "manifest.yml". */
  file?: string | undefined;
}

export type ParsedManifest =
  | { ok: true; manifest: Manifest; plan: Plan; issues: readonly [] }
  | { ok: false; issues: readonly ManifestIssue[] };

/** The plan of a manifest, or every mistake in it with its place. Never throws on any text. */
export function parseManifest(text: string, options: ParseOptions = {}): ParsedManifest {
  const file = options.file ?? "manifest.yml";
  const result = read(text, file);
  if ("manifest" in result) return { ok: true, ...result, issues: [] };
  return { ok: false, issues: result.place.all() };
}

/** Like `parseManifest`; throws ManifestError with all mistakes in its message. */
export function parseManifestOrThrow(text: string, options: ParseOptions = {}): { manifest: Manifest; plan: Plan } {
  const result = parseManifest(text, options);
  if (result.ok) return { manifest: result.manifest, plan: result.plan };
  throw new ManifestError(options.file ?? "manifest.yml", result.issues);
}

function read(text: string, file: string): { manifest: Manifest; plan: Plan } | { place: Placing } {
  const place = new Placing(text, file);
  const suffix = /\.(json|ya?ml)$/i.exec(file)?.[1]?.toLowerCase();
  if (suffix === undefined) {
    place.at({
      code: "syntax",
      path: [],
      message: "expected a file name ending in .yml, .yaml or .json",
      span: { start: 0, end: 0 },
    });
    return { place };
  }
  const source = readSource(text, suffix === "json");
  for (const issue of source.issues) place.at(issue);
  const written = source.root;
  if (written === null && source.issues.length > 0) return { place };
  if (written?.kind !== "map" || written.entries.size === 0) {
    const found = written === null ? "nothing" : written.kind === "map" ? "an empty mapping" : "something else";
    const span = written?.span ?? { start: 0, end: 0 };
    place.at({
      code: "wrong_type",
      path: [],
      message: `expected a mapping with version, targets ..., found ${found}`,
      span,
    });
    return { place };
  }
  const { root, issues } = substituteVariables(written);
  for (const issue of issues) place.at(issue);
  if (tooBig(root, place)) return { place };
  const data = toPlain(root, (path, span, name) => {
    place.at({ code: "duplicate_key", path, message: `expected ${name} once, found it under its old name too`, span });
  });
  const grouped = (root.entries.has("groups") || root.entries.has("model")) && !root.entries.has("targets");
  const parsed = check<Manifest>(grouped ? groupManifestSchema : targetManifestSchema, data);
  if (!parsed.ok) {
    for (const issue of parsed.issues) place.on(issue, root, written);
    return { place };
  }
  const lowered = lowerManifest(parsed.value);
  for (const { path, message } of lowered.issues) place.on({ code: "rule", path, message }, root, written);
  return place.empty ? { manifest: parsed.value, plan: lowered.plan } : { place };
}

function tooBig(root: Located, place: Placing): boolean {
  const big = root.size > maxSize;
  if (!big && root.depth <= maxDepth) return false;
  const message = big
    ? `expected at most ${maxSize} values with aliases and variables written out, found ${root.size}`
    : `expected at most ${maxDepth} levels of nesting, found ${root.depth}`;
  place.at({ code: "syntax", path: [], message, span: root.span });
  return true;
}

/** Collects issues and gives them line, column and excerpt. */
class Placing {
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
      .sort((a, b) => a.start - b.start || a.end - b.end)
      .filter((issue) => {
        const key = `${issue.start} ${issue.message}`;
        return !seen.has(key) && seen.add(key) !== undefined;
      });
  }

  /** A mistake whose place is known. */
  at({ span, ...issue }: SourceIssue | (ConfigIssue & { span: Span })): void {
    const { line, column } = this.#lines.position(span.start);
    const excerpt = this.#lines.excerpt(span.start, span.end);
    this.#issues.push({ ...issue, file: this.#file, line, column, start: span.start, end: span.end, excerpt });
  }

  /** A mistake found in the data: point at the value, the unknown key, or the mapping that lacks a key. */
  on(issue: ConfigIssue, root: LocatedMap, written: LocatedMap): void {
    const place = locate(root, issue.path);
    const { value, key, deepest } = place;
    if (issue.code !== "unknown_key" && value !== null && this.#unresolved(value)) return;
    const start = { start: deepest.span.start, end: deepest.span.start + 1 };
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
