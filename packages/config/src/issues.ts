/**
 * From zod's issues to ours: one issue per mistake, "expected ..., found ..." in plain words, names that exist
 * nearby suggested. Nothing here knows about files; positions are added where a source text is at hand.
 */
import { z } from "zod";
import type { ConfigIssue } from "./error.ts";
import { closest } from "./suggest.ts";

/** Keys that documents mention but that need something else written instead. */
const advice: Readonly<Record<string, string>> = {
  min_lr: "write min_lr_ratio, the last rate as a share of lr",
  activation_checkpoint_threshold: "write activation_checkpoint_threshold_mb, in MiB",
  head_dim: "it follows from attn_dim (or d_model) / n_heads",
  v_dim: "write attn_dim: in decoupled mode it is the value width",
  sem_head_dim: "write sem_dim, the total over heads",
  geo_head_dim: "write geo_dim, the total over heads",
  n_q_heads: "write n_heads",
};

type Parsed<T> = { ok: true; value: T } | { ok: false; issues: ConfigIssue[] };

/** Run a schema over plain data and translate what it complains about. */
export function check<T>(schema: z.ZodType<T>, data: unknown): Parsed<T> {
  const result = schema.safeParse(data, { reportInput: true, error: fromSchema });
  if (result.success) return { ok: true, value: result.data };
  const issues = result.error.issues.flatMap((issue) => translate(issue, data));
  return { ok: false, issues: issues.filter((issue) => !explained(issue, issues)) };
}

/** What zod's issue leaves out but its schema knows: the valid keys, and that a number must be whole. */
function fromSchema(raw: z.core.$ZodRawIssue): string | undefined {
  if (raw.code === "unrecognized_keys" && raw.inst instanceof z.ZodObject) return Object.keys(raw.inst.shape).join(" ");
  return raw.code === "invalid_type" && raw.inst instanceof z.ZodNumber && raw.inst.isInt ? "int" : undefined;
}

/**
 * A misspelt key explains the one that is missing and the rule of its mapping that is broken; a type that does not
 * exist, whatever else its mapping has or lacks.
 */
function explained(issue: ConfigIssue, all: readonly ConfigIssue[]): boolean {
  if (issue.code === "rule")
    return all.some(
      ({ code, path, suggestion }) =>
        code === "unknown_key" &&
        suggestion !== undefined &&
        [issue.path, issue.path.slice(0, -1)].some((mapping) => samePath(mapping, path.slice(0, -1))),
    );
  // A bare word for a component is the wrong word before it is no mapping.
  if (issue.code === "wrong_type")
    return all.some(({ code, path }) => code === "unknown_name" && samePath(path, issue.path));
  if (issue.code !== "missing" && issue.code !== "unknown_key") return false;
  const parent = issue.path.slice(0, -1);
  const type = all.find(({ path }) => path.at(-1) === "type" && samePath(path.slice(0, -1), parent));
  if (type !== undefined && type !== issue && type.code !== "missing" && type.code !== "unknown_key") return true;
  if (issue.code !== "missing") return false;
  const below = all.some(
    ({ code, path, suggestion }) =>
      code === "unknown_key" &&
      suggestion !== undefined &&
      samePath([...path.slice(0, -1), suggestion], issue.path.slice(0, path.length)),
  );
  if (below) return true;
  return all.some(
    (other) =>
      other.code === "unknown_key" &&
      (other.suggestion === issue.path.at(-1) || adviceOf(other).startsWith(`write ${issue.path.at(-1)}`)) &&
      samePath(other.path.slice(0, -1), parent),
  );
}

function samePath(a: readonly (string | number)[], b: readonly (string | number)[]): boolean {
  return a.length === b.length && a.every((part, index) => part === b[index]);
}

const adviceOn = (key: string): string | undefined => (Object.hasOwn(advice, key) ? advice[key] : undefined);
const adviceOf = ({ path }: ConfigIssue): string => adviceOn(String(path.at(-1))) ?? "";

function translate(issue: z.core.$ZodIssue, data: unknown): ConfigIssue[] {
  const path = written(
    data,
    issue.path.filter((part) => typeof part !== "symbol"),
  );
  const value = lookup(data, path);
  const found = describe(value);
  switch (issue.code) {
    case "unrecognized_keys": {
      const valid = issue.message.split(" ").filter((key) => key !== "");
      // Read before any schema sees a manifest, and so in none.
      if (path.length === 0 && valid.includes("artifacts_dir")) valid.splice(valid.indexOf("defaults"), 0, "vars");
      return issue.keys.map((key) => unknownKey([...path, key], key, valid));
    }
    case "invalid_union": {
      if ("options" in issue) return [unknownType(path, value, (issue.options ?? []).map(String), data)];
      const inside = issue.errors.find((errors) => errors.every((error) => error.path.length > 0));
      if (inside === undefined) return [mistake(path, value, alternatives(issue), found)];
      return inside.flatMap((error) => translate({ ...error, path: [...issue.path, ...error.path] }, data));
    }
    case "invalid_value":
      return [unknownName(path, value, issue.values.map(String))];
    case "invalid_type":
      return [mistake(path, value, typeName(issue.message === "int" ? "int" : issue.expected), found)];
    case "too_small":
      return [
        limit(path, issue.origin, issue.inclusive === false ? "greater than" : "of at least", issue.minimum, found),
      ];
    case "too_big":
      return [limit(path, issue.origin, issue.inclusive === false ? "less than" : "of at most", issue.maximum, found)];
    case "custom": {
      // What a schema inside found by itself (the config of a graph's node) is told as it was.
      const inner = issue.params?.["issue"] as ConfigIssue | undefined;
      return [{ ...(inner ?? { code: "rule", message: issue.message }), path }];
    }
    default:
      return [{ code: "invalid_value", path, message: `${issue.message}, found ${found}`, found }];
  }
}

/** The path as a person wrote it: a component or a storage kind may be a bare word where its mapping is meant. */
function written(data: unknown, path: (string | number)[]): (string | number)[] {
  const parent = path.slice(0, -1);
  return path.length > 0 && typeof lookup(data, parent) === "string" ? parent : path;
}

function unknownKey(path: (string | number)[], key: string, valid: string[]): ConfigIssue {
  const known = adviceOn(key);
  const suggestion = known === undefined ? closest(key, valid) : undefined;
  const message = known === undefined ? `unknown key "${key}"` : `unknown key "${key}": ${known}`;
  const listed = suggestion === undefined && known === undefined ? `; ${keysHere(valid)}` : "";
  const issue: ConfigIssue = {
    code: "unknown_key",
    path,
    message: message + listed,
    expected: list(valid),
    found: key,
  };
  return suggestion === undefined ? issue : { ...issue, suggestion };
}

function keysHere(valid: readonly string[]): string {
  if (valid.length === 0) return "there are no keys here";
  return `the keys here are ${valid.length > 16 ? `${valid.slice(0, 16).join(", ")} ...` : list(valid)}`;
}

function unknownType(path: (string | number)[], value: unknown, options: string[], data: unknown): ConfigIssue {
  if (value !== undefined) return unknownName(path, value, options);
  const siblings = lookup(data, path.slice(0, -1));
  const near =
    siblings !== null && typeof siblings === "object" ? closest(String(path.at(-1)), Object.keys(siblings)) : undefined;
  const slip = near === undefined ? "" : `; is "${near}" a slip?`;
  return { code: "missing", path, message: `expected ${list(options)}, found nothing${slip}`, expected: list(options) };
}

function unknownName(path: (string | number)[], value: unknown, options: string[]): ConfigIssue {
  if (value === undefined) return mistake(path, value, list(options), "nothing");
  const found = describe(value);
  const code = typeof value === "string" ? "unknown_name" : "wrong_type";
  const suggestion = typeof value === "string" ? closest(value, options) : undefined;
  // A name with a slash where layers are named is one of the writer's own: the names of ours are beside the point.
  const own = typeof value === "string" && value.includes("/") && options.includes("AttentionLayer");
  // Where the right name is at hand, a long list of the others only hides it.
  const wanted = suggestion !== undefined && options.length > 12 ? `one of ${options.length} names` : list(options);
  const message = own
    ? `expected a layer that is known, found ${found}${suggestion ? "" : notRegistered}`
    : `expected ${wanted}, found ${found}`;
  const issue: ConfigIssue = {
    code,
    path,
    message,
    expected: list(options),
    found,
  };
  return suggestion === undefined ? issue : { ...issue, suggestion };
}

const notRegistered =
  "; a layer of your own is known once the module that registers it was imported (caramba ... --import ./my-layer.js)";

function mistake(path: (string | number)[], value: unknown, expected: string, found: string): ConfigIssue {
  if (value === undefined) {
    return { code: "missing", path, message: `expected ${expected}, found nothing: this key is required`, expected };
  }
  return {
    code: "wrong_type",
    path,
    message: `expected ${expected}, found ${found}${hint(value, expected)}`,
    expected,
    found,
  };
}

function limit(
  path: (string | number)[],
  origin: string,
  relation: string,
  bound: unknown,
  found: string,
): ConfigIssue {
  const expected =
    origin === "array" || origin === "string"
      ? `${origin === "array" ? "a list" : "a text"} ${relation} ${bound} ${origin === "array" ? plural("entry", bound) : plural("character", bound)}`
      : `a number ${relation} ${bound}`;
  return { code: "invalid_value", path, message: `expected ${expected}, found ${found}`, expected, found };
}

function plural(word: string, count: unknown): string {
  if (count === 1) return word;
  return word.endsWith("y") ? `${word.slice(0, -1)}ies` : `${word}s`;
}

/** What a person would say about a value of the wrong kind. */
function hint(value: unknown, expected: string): string {
  if (typeof value !== "string") return "";
  if (/^(?:\.\.\.|…)$/.test(value)) return "; the dots stand for something that was left out";
  if (/\$\{\w+\}/.test(value)) return "; variables need a vars section at the top of the manifest";
  const [, name] = /^\$\{?(\w+)$/.exec(value) ?? [];
  if (name !== undefined) return `; a variable is written "\${${name}}"`;
  if (expected.includes("number") || expected.includes("integer")) {
    if (value === "auto") return "; auto is no value here: write the number";
    if (value.trim() !== "" && Number.isFinite(Number(value))) return "; write it without quotes";
    const plain = plainNumber(value);
    return plain === null ? "" : `; write ${plain}`;
  }
  return expected.includes("true or false") && /^(yes|no|on|off|true|false|auto)$/i.test(value)
    ? "; write true or false"
    : "";
}

/** The digits of a number with separators (`1_000`, `1,000`) or a unit of thousands (`10k`, `2M`); else null. */
function plainNumber(value: string): string | null {
  if (/^0,\d+$/.test(value)) return value.replace(",", ".");
  const [, grouped, unit] = /^([1-9]\d{0,2}(?:[_,]\d{3})+|\d+(?:\.\d+)?(?=[kKmM]$))([kKmM]?)$/.exec(value) ?? [];
  if (grouped === undefined) return null;
  const scale = unit === "" ? 1 : unit?.toLowerCase() === "k" ? 1e3 : 1e6;
  return String(Number(grouped.replace(/[_,]/g, "")) * scale);
}

function alternatives(issue: z.core.$ZodIssueInvalidUnion): string {
  const names = issue.errors.flatMap((errors) =>
    errors.map((error) => {
      if (error.code === "invalid_type") return typeName(error.expected);
      return error.code === "invalid_value" ? list(error.values.map(String)) : error.message;
    }),
  );
  return [...new Set(names)].join(" or ");
}

function typeName(expected: string): string {
  const names: Record<string, string> = {
    boolean: "true or false",
    object: "a mapping",
    record: "a mapping",
    array: "a list",
    string: "a string",
    number: "a number",
    int: "an integer",
  };
  return names[expected] ?? expected;
}

/** `"yes"`, `12`, `a list`: how a found value is shown. */
export function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return Object.keys(value).length === 0 ? "an empty mapping" : "a mapping";
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  return String(value);
}

function list(options: readonly string[]): string {
  return options.length < 2 ? options.join("") : `${options.slice(0, -1).join(", ")} or ${options.at(-1)}`;
}

function lookup(data: unknown, path: readonly (string | number)[]): unknown {
  let value = data;
  for (const part of path) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}
