/**
 * YAML (and its subset JSON) text to a located tree. The yaml library parses; this file turns its nodes into plain
 * values with offsets, resolves anchors and merge keys, and refuses what a manifest has no use for: duplicate keys,
 * custom tags, several documents, keys that are not words, aliases that contain themselves or explode.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import type { IssueCode } from "./error.ts";
import { jsonMistakeAt } from "./json-mistake.ts";
import {
  type Located,
  type LocatedEntry,
  type LocatedMap,
  listOf,
  mapOf,
  maxDepth,
  type Path,
  type Span,
  scalarOf,
} from "./located.ts";

/** A mistake at a place of the text. */
export interface SourceIssue {
  code: IssueCode;
  path: Path;
  message: string;
  span: Span;
}

export interface Source {
  root: Located | null;
  issues: SourceIssue[];
}

/** One slip can make the rest of a text look wrong; the first few messages are the useful ones. */
const maxSyntaxIssues = 10;

const hints: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: "; indent with spaces",
  MULTIPLE_DOCS: "; write one manifest per file",
  BAD_INDENT: "; indent this line like its siblings",
  MULTILINE_IMPLICIT_KEY: "; is a colon or a quote missing?",
};

/** What is most likely behind a mistake, by its code and what stands around it. */
function hintOn(code: string, message: string, text: string, at: number): string {
  if (code === "BAD_INDENT" && /end with a/.test(message)) return "; is a bracket missing before this line?";
  if (/flow-map-start/.test(message) && text[at - 1] === "$")
    return `; between brackets a variable needs quotes: "\${name}"`;
  if (/nested mappings are not allowed/i.test(message)) {
    const line = text.slice(text.lastIndexOf("\n", at) + 1, at);
    const [, next = ""] = /^[^\n]*\n([ ]*)[^ ]/.exec(text.slice(at)) ?? [];
    const column = line.replace(/^( *(?:- +)*).*$/s, "$1").length;
    return next.length > column
      ? "; the line below is indented further than this one: indent it like this one, or put its mapping below the key"
      : "; quote a value that has a colon in it";
  }
  return hints[code] ?? "";
}

/** `strictJson`: the text must be JSON, not merely YAML. */
export function readSource(text: string, strictJson: boolean): Source {
  const json = strictJson ? jsonMistake(text) : null;
  if (json !== null) return { root: null, issues: [json] };
  // JSON allows tabs as white space where YAML does not; a raw tab cannot occur inside a JSON string.
  const yaml = strictJson ? text.replaceAll("\t", " ") : text;
  try {
    const document = parseDocument(yaml, {
      prettyErrors: false,
      uniqueKeys: false,
      version: "1.2",
    });
    const reader = new Reader();
    const mistakes = [...document.errors, ...document.warnings];
    if (mistakes.some(({ message }) => /call stack/i.test(message))) return tooDeep(deepBracket(text));
    for (const { code, message, pos } of mistakes.slice(0, maxSyntaxIssues)) {
      const opened = code === "MISSING_CHAR" && pos[0] >= text.trimEnd().length ? lastQuote(document) : null;
      const at = opened ?? firstInk(text, pos[0]);
      // The parser stops behind the tab; the tab is what must go.
      const tab = code === "TAB_AS_INDENT" ? text.lastIndexOf("\t", at) : -1;
      const span = tab < 0 ? { start: at, end: Math.max(at + 1, pos[1]) } : { start: tab, end: tab + 1 };
      reader.report("syntax", [], clean(message) + hintOn(code, message, text, at), span);
    }
    if (document.errors.length > 0) return { root: null, issues: reader.issues };
    return { root: reader.document(document), issues: reader.issues };
  } catch (error) {
    if (error instanceof TooDeep) return tooDeep(error.span);
    if (error instanceof RangeError) return tooDeep(deepBracket(text));
    throw error;
  }
}

/** The first character from an offset on that is not blank, on the same line where there is one. */
function firstInk(text: string, offset: number): number {
  const blank = /[ \t]*/y;
  blank.lastIndex = offset;
  const end = offset + (blank.exec(text)?.[0].length ?? 0);
  return end < text.length && text[end] !== "\n" ? end : offset;
}

/** Where the last quoted text begins: the one that was not closed, when a quote is missing at the end. */
function lastQuote(document: Document): number | null {
  let found: number | null = null;
  visit(document, {
    Scalar: (_, node) => {
      if (node.type?.startsWith("QUOTE")) found = node.range?.[0] ?? found;
    },
  });
  return found;
}

class TooDeep extends Error {
  readonly span: Span;

  constructor(span: Span) {
    super("nesting");
    this.span = span;
  }
}

function tooDeep(span: Span): Source {
  const message = `expected at most ${maxDepth} levels of nesting, found more`;
  return { root: null, issues: [{ code: "syntax", path: [], message, span }] };
}

/** The bracket that opens one level too many, in a text too deep to be parsed; the beginning where there is none. */
function deepBracket(text: string): Span {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "[" || text[at] === "{") depth++;
    if (text[at] === "]" || text[at] === "}") depth--;
    if (depth > maxDepth) return { start: at, end: at + 1 };
  }
  return { start: 0, end: 0 };
}

class Reader {
  readonly issues: SourceIssue[] = [];
  readonly #anchors = new Map<string, Located>();
  #depth = 0;

  report(code: IssueCode, path: Path, message: string, span: Span): void {
    this.issues.push({ code, path, message, span });
  }

  document(document: Document): Located | null {
    const { contents } = document;
    if (contents === null) return null;
    return this.node(contents as Node, []);
  }

  node(node: Node, path: Path): Located {
    if (this.#depth >= maxDepth) throw new TooDeep(spanOf(node));
    this.#depth++;
    const located = isAlias(node) ? this.alias(node, path) : this.plain(node, path);
    this.#depth--;
    if (!isAlias(node) && "anchor" in node && node.anchor !== undefined) this.#anchors.set(node.anchor, located);
    return located;
  }

  plain(node: Node, path: Path): Located {
    const span = spanOf(node);
    if (isMap(node)) return this.map(node, path, span);
    if (isSeq(node)) return this.list(node, path, span);
    const value = isScalar(node) ? node.value : null;
    if (value === null || typeof value === "string" || typeof value === "boolean") return scalarOf(value, span);
    if (typeof value === "number") {
      if (Number.isFinite(value)) return scalarOf(value, span);
      this.report("invalid_value", path, `expected a finite number, found ${value}`, span);
      return scalarOf(null, span);
    }
    this.report("syntax", path, "expected a string, number, true, false or null, found another kind of value", span);
    return scalarOf(null, span);
  }

  alias(node: Alias, path: Path): Located {
    const span = spanOf(node);
    const target = this.#anchors.get(node.source);
    if (target !== undefined) return { ...target, span };
    this.report("syntax", path, `expected the name of an anchor defined before, found *${node.source}`, span);
    return scalarOf(null, span);
  }

  list(node: YAMLSeq, path: Path, span: Span): Located {
    return listOf(
      node.items.map((item, index) => this.node(item as Node, [...path, index])),
      span,
    );
  }

  map(node: YAMLMap, path: Path, span: Span): Located {
    const own = new Map<string, LocatedEntry>();
    const merged = new Map<string, LocatedEntry>();
    for (const pair of node.items) {
      const key = this.key(pair, path, span);
      if (key === null) continue;
      const value = pair.value === null ? scalarOf(null, key.span) : this.node(pair.value as Node, [...path, key.name]);
      if (key.merge) this.merge(value, merged, [...path, key.name]);
      else if (own.has(key.name)) {
        this.report(
          "duplicate_key",
          [...path, key.name],
          `expected each key once, found "${key.name}" a second time`,
          key.span,
        );
      } else own.set(key.name, { key: key.span, value });
    }
    for (const [name, entry] of merged) if (!own.has(name)) own.set(name, entry);
    return mapOf(own, span);
  }

  key(pair: Pair, path: Path, map: Span): { name: string; span: Span; merge: boolean } | null {
    const node = pair.key;
    const span = node !== null && typeof node === "object" && "range" in node ? spanOf(node as Node) : map;
    const value = isScalar(node) ? node.value : null;
    if (value === null || typeof value === "object" || value === "__proto__") {
      this.report("syntax", path, "expected a word as key, found something else", span);
      return null;
    }
    const quoted = isScalar(node) && (node.type === "QUOTE_DOUBLE" || node.type === "QUOTE_SINGLE");
    return { name: String(value), span, merge: value === "<<" && !quoted };
  }

  /** `<<: *base` or `<<: [*a, *b]`: keys of the first that has them; the mapping's own keys win. */
  merge(value: Located, into: Map<string, LocatedEntry>, path: Path): void {
    const sources = value.kind === "list" ? value.items : [value];
    for (const source of sources) {
      if (source.kind !== "map") {
        this.report(
          "wrong_type",
          path,
          "expected a mapping (or a list of mappings) to merge, found something else",
          source.span,
        );
        continue;
      }
      for (const [name, entry] of (source as LocatedMap).entries) if (!into.has(name)) into.set(name, entry);
    }
  }
}

function spanOf(node: Node): Span {
  const range = node.range;
  return range === null || range === undefined ? { start: 0, end: 0 } : { start: range[0], end: range[1] };
}

/** First line of a message of the yaml library, as a clause. */
function clean(message: string): string {
  const line = (message.split("\n", 1)[0] ?? message).replace(/; please use YAML\.\w+\(\)$/, "");
  const plain = line.replace(/^Missing closing (["'])quote$/, "Missing closing quote $1");
  return `not valid YAML: ${plain.charAt(0).toLowerCase()}${plain.slice(1)}`;
}

function jsonMistake(text: string): SourceIssue | null {
  const json = text.replace(/^\uFEFF/, " ");
  try {
    JSON.parse(json);
    return null;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const start = jsonMistakeAt(json) ?? 0;
    const clause = message
      .replace(/ in JSON at position.*$/s, "")
      .replace(/, (?:\.\.\.)?".*is not valid JSON$/s, "")
      .replace(/^\w/, (letter) => letter.toLowerCase());
    return { code: "syntax", path: [], message: `not valid JSON: ${clause}`, span: { start, end: start + 1 } };
  }
}
