/**
 * Manifest text to plan: read the source, substitute variables, check the schema of its form, lower, and give every
 * mistake the place in the text that must change. Pure: text in, objects out; works in a browser.
 */
import type { z } from "zod";
import { check } from "./issues.ts";
import { type Located, maxDepth, maxSize, type Path, type Span, toPlain } from "./located.ts";
import { entrypointIssues, lowerManifest } from "./lower.ts";
import { groupManifestSchema, type Manifest, targetManifestSchema } from "./manifest.ts";
import { ManifestError, type ManifestIssue } from "./manifest-error.ts";
import { Placing } from "./placing.ts";
import type { Plan } from "./plan.ts";
import { Recovery } from "./recover.ts";
import type { RuleIssue } from "./schema.ts";
import { applySettings } from "./settings.ts";
import { readSource } from "./source.ts";
import type { PlanIssue } from "./supported.ts";
import { substituteVariables } from "./vars.ts";

export interface ParseOptions {
  /** Shown in messages; `.json` makes the text be read as strict JSON. Default "manifest.yml". */
  file?: string | undefined;
  /** Changes made before variables are substituted: `vars.d_model=64`, `targets.paper.runs.blockwise.steps=5`. */
  set?: readonly string[] | undefined;
  /** Further checks of a plan that is right so far, e.g. `unsupportedSettings`; what they find is placed like the rest. */
  check?: ((plan: Plan) => readonly PlanIssue[]) | undefined;
}

export type ParsedManifest =
  | { ok: true; manifest: Manifest; plan: Plan; issues: readonly [] }
  | { ok: false; issues: readonly ManifestIssue[] };

/** The plan of a manifest, or every mistake in it with its place. Never throws on any text. */
export function parseManifest(text: string, options: ParseOptions = {}): ParsedManifest {
  const file = options.file ?? "manifest.yml";
  const result = read(text, file, options);
  if ("manifest" in result) return { ok: true, ...result, issues: [] };
  return { ok: false, issues: result.place.all() };
}

/** Like `parseManifest`; throws ManifestError with all mistakes in its message. */
export function parseManifestOrThrow(text: string, options: ParseOptions = {}): { manifest: Manifest; plan: Plan } {
  const result = parseManifest(text, options);
  if (result.ok) return { manifest: result.manifest, plan: result.plan };
  throw new ManifestError(options.file ?? "manifest.yml", result.issues);
}

function read(
  text: string,
  file: string,
  { set = [], check: further }: ParseOptions,
): { manifest: Manifest; plan: Plan } | { place: Placing } {
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
  const read = source.root;
  if (read === null && source.issues.length > 0) return { place };
  if (read?.kind !== "map" || read.entries.size === 0) {
    const found =
      read === null
        ? "nothing"
        : read.kind === "map"
          ? "an empty mapping"
          : read.kind === "list"
            ? "a list"
            : read.value === null
              ? "nothing"
              : "a single value";
    const span = read?.span ?? { start: 0, end: 0 };
    place.at({
      code: "wrong_type",
      path: [],
      message: `expected a mapping with version, targets ..., found ${found}`,
      span,
    });
    return { place };
  }
  const changed = applySettings(read, set);
  const written = changed.root;
  const { root, issues } = substituteVariables(written);
  for (const issue of [...changed.issues, ...issues]) place.at(issue);
  if (tooBig(root, place)) return { place };
  const data = toPlain(root, (path, span, name) => {
    place.at({ code: "duplicate_key", path, message: `expected ${name} once, found it under its old name too`, span });
  });
  const grouped = (root.entries.has("groups") || root.entries.has("model")) && !root.entries.has("targets");
  const schema: z.ZodType<Manifest> = grouped ? groupManifestSchema : targetManifestSchema;
  const parsed = check<Manifest>(schema, data);
  if (!parsed.ok) {
    for (const issue of parsed.issues) place.on(issue, root, written);
    for (const { path, message } of misnamed(data)) place.on({ code: "rule", path, message }, root, written);
  }
  const recovery = parsed.ok ? null : new Recovery(schema, data, parsed.issues);
  for (const issue of recovery?.issues ?? []) place.on(issue, root, written);
  const manifest = parsed.ok ? parsed.value : recovery?.manifest;
  if (!manifest) return { place };
  const credible = <T extends RuleIssue>(found: readonly T[]): readonly T[] => recovery?.credible(found) ?? found;
  const lowered = lowerManifest(manifest);
  for (const { path, message } of credible(lowered.issues)) place.on({ code: "rule", path, message }, root, written);
  for (const { code, path, message, remedy } of credible(checked(lowered.plan, further, place.empty)))
    place.on({ code, path, message: `${message}; ${remedy}` }, root, written);
  return place.empty ? { manifest, plan: lowered.plan } : { place };
}

/** What `further` finds. Of a manifest with mistakes it may see parts that break rules, and be at a loss. */
function checked(plan: Plan, further: ParseOptions["check"], right: boolean): readonly PlanIssue[] {
  try {
    return further?.(plan) ?? [];
  } catch (error) {
    if (right) throw error;
    return [];
  }
}

/** Entry points that name no target, told although something else is wrong: names can be read off what was written. */
function misnamed(data: unknown): { path: Path; message: string }[] {
  const { targets, entrypoints } = data as { readonly targets?: unknown; readonly entrypoints?: unknown };
  if (!Array.isArray(targets) || typeof entrypoints !== "object" || entrypoints === null || Array.isArray(entrypoints))
    return [];
  const names = targets.map((target: { readonly name?: unknown } | null) => target?.name);
  if (!names.every((name) => typeof name === "string")) return [];
  const words = Object.entries(entrypoints).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return entrypointIssues(Object.fromEntries(words), names);
}

function tooBig(root: Located, place: Placing): boolean {
  const big = root.size > maxSize;
  if (!big && root.depth <= maxDepth) return false;
  const message = big
    ? `expected at most ${maxSize} values with aliases and variables written out, found ${root.size}`
    : `expected at most ${maxDepth} levels of nesting, found ${root.depth}`;
  const { path, span } = big ? culprit(root, (node) => node.size, maxSize) : culprit(root, (node) => node.depth, 1);
  place.at({ code: "syntax", path, message, span });
  return true;
}

/** The innermost value on the way to the largest part of which `measure` is still above `bound`. */
function culprit(root: Located, measure: (node: Located) => number, bound: number): { path: Path; span: Span } {
  const path: Path = [];
  let node = root;
  let span = root.span;
  for (let level = 1; level <= maxDepth; level++) {
    const children: [string | number, Located, Span][] =
      node.kind === "list"
        ? node.items.map((item, index) => [index, item, item.span])
        : node.kind === "map"
          ? [...node.entries].map(([name, { key, value }]) => [name, value, key])
          : [];
    const [first, ...others] = children;
    if (first === undefined) break;
    const [name, child, at] = others.reduce((a, b) => (measure(b[1]) > measure(a[1]) ? b : a), first);
    if (measure(child) <= bound) break;
    path.push(name);
    node = child;
    span = at;
  }
  return { path, span };
}
