/**
 * `vars:` and `${name}`. A string that is nothing but `${name}` becomes the variable's value with its type; inside a
 * longer string the value is written out. Variables may use variables; values are resolved when first needed.
 * Subtrees without variables are returned as they are.
 */
import { type Located, type LocatedMap, listOf, mapOf, type Path, scalarOf } from "./located.ts";
import type { SourceIssue } from "./source.ts";
import { closest } from "./suggest.ts";

const maxText = 100_000;
const maxChain = 100;

/** The manifest without its `vars` section and with every `${name}` replaced. */
export function substituteVariables(root: LocatedMap): { root: LocatedMap; issues: SourceIssue[] } {
  const section = root.entries.get("vars");
  if (section === undefined) return { root, issues: [] };
  const rest = mapOf(new Map([...root.entries].filter(([key]) => key !== "vars")), root.span);
  const empty = section.value.kind === "scalar" && section.value.value === null;
  if (section.value.kind !== "map" && !empty) {
    const message = "expected a mapping of names to values, found something else";
    return { root: rest, issues: [{ code: "wrong_type", path: ["vars"], message, span: section.value.span }] };
  }
  const variables = new Variables(section.value.kind === "map" ? section.value : mapOf(new Map(), root.span));
  variables.resolveAll();
  return { root: variables.replace(rest, []) as LocatedMap, issues: variables.issues };
}

class Variables {
  readonly issues: SourceIssue[] = [];
  readonly #section: LocatedMap;
  readonly #resolved = new Map<string, Located | null>();
  readonly #open: string[] = [];
  readonly #replaced = new Map<Located, Located>();

  constructor(section: LocatedMap) {
    this.#section = section;
  }

  /** Also variables nobody uses: a mistake in one is still a mistake. */
  resolveAll(): void {
    for (const [name, { key }] of this.#section.entries) {
      if (/^\w+$/.test(name)) this.value(name);
      else {
        const message = `expected a name of letters, digits and underscores, found "${name}"`;
        this.issues.push({ code: "variable", path: ["vars", name], message, span: key });
      }
    }
  }

  /** The resolved value; null after a mistake that has been reported. */
  value(name: string): Located | null {
    const known = this.#resolved.get(name);
    if (known !== undefined) return known;
    const entry = this.#section.entries.get(name);
    if (entry === undefined) return null;
    if (this.#open.includes(name)) {
      const cycle = [...this.#open.slice(this.#open.indexOf(name)), name].join(" -> ");
      this.issues.push({
        code: "variable",
        path: ["vars", name],
        message: `expected a value, found a cycle: ${cycle}`,
        span: entry.value.span,
      });
      for (const member of this.#open.slice(this.#open.indexOf(name))) this.#resolved.set(member, null);
      return null;
    }
    if (this.#open.length >= maxChain) {
      const message = `expected variables that use each other at most ${maxChain} deep, found more`;
      this.issues.push({ code: "variable", path: ["vars", name], message, span: entry.value.span });
      this.#resolved.set(name, null);
      return null;
    }
    this.#open.push(name);
    const value = this.replace(entry.value, ["vars", name]);
    this.#open.pop();
    if (this.#resolved.get(name) === null) return null;
    this.#resolved.set(name, value);
    return value;
  }

  replace(node: Located, path: Path): Located {
    const done = this.#replaced.get(node);
    if (done !== undefined) return done;
    const result = this.fresh(node, path);
    this.#replaced.set(node, result);
    return result;
  }

  fresh(node: Located, path: Path): Located {
    if (node.kind === "scalar") return typeof node.value === "string" ? this.text(node, node.value, path) : node;
    if (node.kind === "list") {
      const items = node.items.map((item, index) => this.replace(item, [...path, index]));
      return items.every((item, index) => item === node.items[index]) ? node : listOf(items, node.span);
    }
    let changed = false;
    const entries = new Map(
      [...node.entries].map(([key, entry]) => {
        const value = this.replace(entry.value, [...path, key]);
        changed ||= value !== entry.value;
        return [key, { key: entry.key, value }] as const;
      }),
    );
    return changed ? mapOf(entries, node.span) : node;
  }

  text(node: Located, text: string, path: Path): Located {
    const whole = /^\$\{(\w+)\}$/.exec(text)?.[1];
    if (whole !== undefined) {
      const value = this.use(whole, node, path);
      return value === null ? node : { ...value, span: node.span, variable: whole };
    }
    if (!text.includes("${")) return node;
    let variable: string | undefined;
    let length = text.length;
    const result = text.replace(/\$\{(\w+)\}/g, (placeholder, name: string) => {
      const value = length > maxText ? null : this.use(name, node, path);
      if (value === null) return placeholder;
      if (value.kind !== "scalar") {
        const message = `expected a plain value for \${${name}} inside a text, found a ${value.kind === "map" ? "mapping" : "list"}`;
        this.issues.push({ code: "variable", path, message, span: node.span });
        return placeholder;
      }
      variable = name;
      length += String(value.value).length;
      return String(value.value);
    });
    if (length > maxText) {
      this.issues.push({
        code: "variable",
        path,
        message: `expected a text of at most ${maxText} characters with variables written out, found more`,
        span: node.span,
      });
    }
    const replaced = scalarOf(result, node.span);
    return variable === undefined ? replaced : { ...replaced, variable };
  }

  use(name: string, node: Located, path: Path): Located | null {
    if (this.#section.entries.has(name)) return this.value(name);
    const near = closest(name, this.#section.entries.keys());
    const hint = near === undefined ? "" : ` (did you mean "${near}"?)`;
    this.issues.push({
      code: "variable",
      path,
      message: `expected the name of a variable in vars, found "${name}"${hint}`,
      span: node.span,
    });
    return null;
  }
}
