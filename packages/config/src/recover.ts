/**
 * Going on after a mistake, so that one reading of a manifest tells all of them. What the schema refuses is taken out
 * of the data, bit by bit, until the rest is a manifest: a key with a default alone, else the mapping that needs it,
 * up to a model's graph as a whole; a run, benchmark or target falls out of its list by itself. The rest is checked
 * like any manifest, and what it is found to lack counts only where it cannot come from what was taken out.
 */
import type { z } from "zod";
import type { ConfigIssue } from "./error.ts";
import { check } from "./issues.ts";
import type { Path } from "./located.ts";
import type { Manifest } from "./manifest.ts";
import { type ModelConfig, modelRules } from "./model.ts";
import { type RuleIssue, withoutRules } from "./schema.ts";

/** Lists whose entries can be read without each other. */
const separable = new Set(["targets", "groups", "runs", "benchmarks"]);
/** Each round takes something out of some mapping; more rounds than levels a manifest has are not needed. */
const maxRounds = 12;

/** Stands for a graph that cannot be read, so that what does not rest on it is still looked at. */
const anyTopology = (): unknown => ({ type: "StackedTopology", layers: [{ type: "DropoutLayer" }] });

export class Recovery {
  /** Schema mistakes that showed only once others were out of the way, and rules broken; paths as written. */
  readonly issues: ConfigIssue[] = [];
  /** What is left, when anything is; it may break rules that were told. */
  readonly manifest: Manifest | null;
  readonly #data: unknown;
  /** Where the entries of a shortened list stood. */
  readonly #origins = new Map<unknown[], number[]>();
  readonly #lost: Path[] = [];
  readonly #broken: Path[] = [];

  /** `data` is used up. */
  constructor(schema: z.ZodType<Manifest>, data: unknown, first: readonly ConfigIssue[]) {
    this.#data = data;
    let issues = first;
    for (let round = 0; round < maxRounds; round++) {
      const mistakes = issues.filter(({ code }) => code !== "rule");
      for (const issue of issues) if (issue.code === "rule") this.#broken.push(this.original(issue.path));
      if (mistakes.length === 0) break;
      // Later entries of a list first: taking one out must not move what is still to be taken.
      for (const issue of mistakes.toSorted((a, b) => comparePaths(b.path, a.path))) this.#takeOut(issue);
      const again = check(schema, data);
      issues = again.ok ? [] : again.issues;
      this.issues.push(...this.credible(issues));
    }
    const rest = withoutRules(() => check(schema, data));
    this.manifest = rest.ok ? rest.value : null;
    if (rest.ok) this.issues.push(...this.credible(this.#shapes(rest.value)));
  }

  /** Shapes are checked in models whose layers are right; here also where only a layer's own rule is broken. */
  #shapes(manifest: Manifest): ConfigIssue[] {
    const models: [Path, ModelConfig][] =
      "groups" in manifest
        ? [[["model"], manifest.model]]
        : manifest.targets.map(({ system }, i) => [["targets", i, "system", "config", "model"], system.config.model]);
    return models.flatMap(([place, model]) => {
      const broken = this.#broken.filter((path) => within(path, this.original(place)));
      // What a graph with a mistake returns is anyone's guess.
      if (broken.length === 0 || broken.some((path) => path.includes("nodes"))) return [];
      return modelRules(model).map(({ path, message }) => ({ code: "rule", path: [...place, ...path], message }));
    });
  }

  /** Those of `issues` that do not follow from what was taken out or told already, at the paths as written. */
  credible<T extends RuleIssue>(issues: readonly T[]): T[] {
    return issues.flatMap((issue) => {
      const path = this.original(issue.path);
      const grounds = [path, ...(issue.leansOn ?? []).map((ground) => this.original(ground))];
      const doubtful =
        this.#lost.some(
          (lost) => grounds.some((ground) => within(lost, ground) || within(ground, lost)) || siblings(lost, path),
        ) || this.#broken.some((broken) => within(broken, path) || within(path, broken));
      return doubtful ? [] : [{ ...issue, path }];
    });
  }

  /** The path in the manifest as written of a path in what is left. */
  original(path: Path): Path {
    let value = this.#data;
    return path.map((part) => {
      const origins = Array.isArray(value) ? this.#origins.get(value) : undefined;
      value = step(value, part);
      return typeof part === "number" ? (origins?.[part] ?? part) : part;
    });
  }

  #takeOut({ code, path, suggestion }: ConfigIssue): void {
    // A misspelt key stands for the one that was meant: its value is lost.
    if (suggestion !== undefined && code === "unknown_key")
      this.#lost.push(this.original([...path.slice(0, -1), suggestion]));
    const parents = ancestors(this.#data, path);
    for (let depth = path.length - 1; depth >= 0; depth--) {
      const parent = parents[depth];
      const part = path[depth];
      if (parent === undefined || part === undefined) continue;
      if (Array.isArray(parent) && typeof part === "number" && part < parent.length) {
        if (!separable.has(String(path[depth - 1]))) continue;
        this.#lose(path.slice(0, depth + 1), code);
        const origins = this.#origins.get(parent) ?? parent.map((_, index) => index);
        this.#origins.set(parent, origins);
        origins.splice(part, 1);
        parent.splice(part, 1);
        return;
      }
      if (!Array.isArray(parent) && Object.hasOwn(parent, part)) {
        this.#lose(path.slice(0, depth + 1), code);
        const fields = parent as Record<string, unknown>;
        if (part === "topology") fields[part] = anyTopology();
        else delete fields[part];
        return;
      }
    }
  }

  #lose(path: Path, code: ConfigIssue["code"]): void {
    if (code !== "unknown_key") this.#lost.push(this.original(path));
  }
}

function step(value: unknown, part: string | number): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, part)
    ? (value as Record<string | number, unknown>)[part]
    : undefined;
}

/** The mappings and lists that a path goes through, by depth, as far as they exist. */
function ancestors(root: unknown, path: Path): object[] {
  const found: object[] = [];
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null) break;
    found.push(value);
    value = step(value, part);
  }
  return found;
}

function within(path: Path, outer: Path): boolean {
  return outer.length <= path.length && outer.every((part, index) => part === path[index]);
}

/** Keys of one mapping: what one of them must be may depend on the other. */
function siblings(a: Path, b: Path): boolean {
  return (
    a.length === b.length &&
    typeof a.at(-1) === "string" &&
    typeof b.at(-1) === "string" &&
    a.slice(0, -1).every((part, index) => part === b[index])
  );
}

function comparePaths(a: Path, b: Path): number {
  for (const [index, part] of a.entries()) {
    const other = b[index];
    if (other === undefined) return 1;
    if (part !== other)
      return typeof part === "number" && typeof other === "number"
        ? part - other
        : String(part) < String(other)
          ? -1
          : 1;
  }
  return a.length - b.length;
}
