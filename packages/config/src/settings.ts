/**
 * `--set path=value`: changes to a manifest before its variables are substituted. A path names keys and list entries
 * (`targets[0].runs[1].steps`); an entry with a `name` or `id` may be named by it (`targets.paper.runs.blockwise.steps`).
 * The value is YAML. A mistake in it is reported as `--set:1:column` with the setting as its line.
 */
import { type Located, type LocatedEntry, type LocatedMap, listOf, mapOf, type Path, type Span } from "./located.ts";
import { readSource, type SourceIssue } from "./source.ts";
import { closest } from "./suggest.ts";

const file = "--set";

/** The manifest with all settings applied in order, and the settings that cannot be. */
export function applySettings(
  root: LocatedMap,
  settings: readonly string[],
): { root: LocatedMap; issues: SourceIssue[] } {
  const issues: SourceIssue[] = [];
  let changed = root;
  for (const text of settings) {
    try {
      changed = apply(changed, text) as LocatedMap;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      issues.push(error.issue);
    }
  }
  for (const text of settings) {
    const name = /^vars\.(\w+)(?=[=.[])/.exec(text)?.[1];
    const idle = name !== undefined && !variablesOf(root).includes(name) && !uses(changed, name, new Set());
    if (idle) issues.push(new Refusal(text, ["vars", name], unused(name, variablesOf(root)), 0, 5 + name.length).issue);
  }
  return { root: changed, issues };
}

/** The names in a manifest's own `vars`. */
function variablesOf(root: LocatedMap): string[] {
  const section = root.entries.get("vars")?.value;
  return section?.kind === "map" ? [...section.entries.keys()] : [];
}

/** Whether a variable is named anywhere; parts that aliases share are looked at once. */
function uses(node: Located, name: string, seen: Set<Located>): boolean {
  if (seen.has(node)) return false;
  seen.add(node);
  if (node.kind === "scalar") return typeof node.value === "string" && node.value.includes(`\${${name}}`);
  const parts = node.kind === "list" ? node.items : [...node.entries.values()].map((entry) => entry.value);
  return parts.some((part) => uses(part, name, seen));
}

/** A variable that nothing reads would change nothing, which nobody asks for. */
function unused(name: string, known: readonly string[]): string {
  const near = closest(name, known);
  const hint = near === undefined ? "" : ` (did you mean "${near}"?)`;
  const list = known.length === 0 ? "" : ` (${known.join(", ")})`;
  return `expected a variable that the manifest has or uses${list}, found "${name}"${hint}`;
}

class Refusal extends Error {
  readonly issue: SourceIssue;

  constructor(text: string, path: Path, message: string, start = 0, end: number = text.length) {
    super(message);
    this.issue = { code: "invalid_value", path, message, span: { start, end, origin: { file, text } } };
  }
}

function apply(root: LocatedMap, text: string): Located {
  const equals = text.indexOf("=");
  const steps = [...text.slice(0, Math.max(0, equals)).matchAll(/(?:^|\.)([^.[\]]+)|\[(\d+)\]/g)];
  const plain = steps.map((step) => step[0]).join("");
  if (equals < 1 || plain.length !== equals)
    throw new Refusal(text, [], `expected a setting path=value, found "${text}"`);
  const path = steps.map((step) => (step[2] === undefined ? (step[1] ?? "") : Number(step[2])));
  return change(root, path, [], value(text, equals + 1), text);
}

/** The value's place in the setting is its place in a text whose path has been blanked out. */
function value(text: string, from: number): Located {
  const source = readSource(" ".repeat(from) + text.slice(from), false);
  const [issue] = source.issues;
  if (issue !== undefined) throw new Refusal(text, [], issue.message, issue.span.start, issue.span.end);
  const empty: Located = { kind: "scalar", value: null, span: { start: from, end: from }, size: 1, depth: 1 };
  return moved(source.root ?? empty, text);
}

function moved(node: Located, text: string): Located {
  const there = (span: Span): Span => ({ ...span, origin: { file, text } });
  if (node.kind === "list")
    return { ...node, span: there(node.span), items: node.items.map((item) => moved(item, text)) };
  if (node.kind === "scalar") return { ...node, span: there(node.span) };
  const entries = [...node.entries].map(([name, entry]): [string, LocatedEntry] => [
    name,
    { key: there(entry.key), value: moved(entry.value, text) },
  ]);
  return { ...node, span: there(node.span), entries: new Map(entries) };
}

function change(node: Located | undefined, path: Path, done: Path, value: Located, text: string): Located {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  const here = [...done, step];
  const span: Span = { start: 0, end: text.length, origin: { file, text } };
  if (node?.kind === "list") {
    const index = typeof step === "number" ? step : node.items.findIndex((item) => nameOf(item) === step);
    if (index < 0 || index > node.items.length) throw new Refusal(text, here, missing(node.items, step));
    const items = [...node.items];
    items[index] = change(node.items[index], rest, here, value, text);
    return listOf(items, node.span);
  }
  if (typeof step === "number" || node?.kind === "scalar") {
    if (node?.kind !== "scalar" || node.value !== null || typeof step === "number") {
      throw new Refusal(
        text,
        here,
        `expected a ${typeof step === "number" ? "list" : "mapping"} at ${done.join(".") || "the top"}, found something else`,
      );
    }
  }
  const old = node?.kind === "map" ? node.entries : new Map<string, LocatedEntry>();
  const entry = old.get(step);
  const next = change(entry?.value, rest, here, value, text);
  return mapOf(new Map([...old, [step, { key: entry?.key ?? span, value: next }]]), node?.span ?? span);
}

function nameOf(item: Located): unknown {
  const entry = item.kind === "map" ? (item.entries.get("name") ?? item.entries.get("id")) : undefined;
  return entry?.value.kind === "scalar" ? entry.value.value : undefined;
}

function missing(items: readonly Located[], step: string | number): string {
  if (typeof step === "number") return `expected an index up to ${items.length}, found ${step}`;
  const names = items.map(nameOf).filter((name) => typeof name === "string");
  const near = closest(step, names);
  return `expected the name of an entry (${names.join(", ")}), found "${step}"${near === undefined ? "" : ` (did you mean "${near}"?)`}`;
}
