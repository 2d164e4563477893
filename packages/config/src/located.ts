/**
 * A source text as a tree that knows where everything stands: plain data plus offsets. Aliases and substituted
 * variables share subtrees, so the tree is linear in the text even when what it means is not; `size` counts what
 * it would be written out.
 */
import { oldSpellings } from "./spelling.ts";

/** Half-open range of offsets into the source text. */
export interface Span {
  start: number;
  end: number;
  /** Another text than the manifest: a setting of the command line. */
  origin?: { file: string; text: string };
}

interface Base {
  span: Span;
  /** Nodes when written out in full (shared subtrees counted each time). */
  size: number;
  /** Levels of nesting, 1 for a scalar. */
  depth: number;
  /** Name of the variable whose value this is. */
  variable?: string;
}

export interface LocatedScalar extends Base {
  kind: "scalar";
  value: string | number | boolean | null;
}

export interface LocatedList extends Base {
  kind: "list";
  items: Located[];
}

export interface LocatedEntry {
  key: Span;
  value: Located;
}

export interface LocatedMap extends Base {
  kind: "map";
  entries: Map<string, LocatedEntry>;
}

export type Located = LocatedScalar | LocatedList | LocatedMap;
export type Path = (string | number)[];

/** Bounds on what a manifest may mean once aliases and variables are written out. */
export const maxDepth = 200;
export const maxSize = 1_000_000;

export function scalarOf(value: LocatedScalar["value"], span: Span): LocatedScalar {
  return { kind: "scalar", value, span, size: 1, depth: 1 };
}

export function listOf(items: Located[], span: Span): LocatedList {
  return { kind: "list", items, span, ...extent(items) };
}

export function mapOf(entries: Map<string, LocatedEntry>, span: Span): LocatedMap {
  return { kind: "map", entries, span, ...extent([...entries.values()].map((entry) => entry.value)) };
}

function extent(children: Located[]): { size: number; depth: number } {
  let size = 1;
  let depth = 0;
  for (const child of children) {
    size += child.size;
    depth = Math.max(depth, child.depth);
  }
  return { size, depth: depth + 1 };
}

/**
 * Plain data with old spellings replaced by today's. `clash` hears of a key that is there in both spellings.
 */
export function toPlain(node: Located, clash: (path: Path, key: Span, name: string) => void): unknown {
  return plain(node, [], "", clash);
}

function plain(
  node: Located,
  path: Path,
  under: string,
  clash: (path: Path, key: Span, name: string) => void,
): unknown {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map((item, index) => plain(item, [...path, index], "", clash));
  const spellings = oldSpellings(under, typeOf(node));
  const result: Record<string, unknown> = {};
  for (const [written, entry] of node.entries) {
    const key = Object.hasOwn(spellings, written) ? (spellings[written] ?? written) : written;
    if (key !== written && node.entries.has(key)) clash([...path, written], entry.key, key);
    result[key] = plain(entry.value, [...path, key], key, clash);
  }
  return result;
}

function typeOf(node: LocatedMap): string {
  const type = node.entries.get("type")?.value;
  return type?.kind === "scalar" ? String(type.value) : "";
}

/** Where a path leads: the deepest part of it that exists. */
export interface Place {
  /** The path as written (old spellings kept). */
  path: Path;
  /** The value, when the whole path exists. */
  value: Located | null;
  /** The key of the last existing step, when it is a mapping's. */
  key: Span | null;
  /** The deepest existing value. */
  deepest: Located;
  /** Variable whose value the place is in. */
  variable: string | null;
}

export function locate(root: Located, path: Path): Place {
  const place: Place = { path: [...path], value: null, key: null, deepest: root, variable: root.variable ?? null };
  let node = root;
  let under = "";
  for (const [depth, part] of path.entries()) {
    const step = descend(node, part, under);
    if (step === null) return place;
    if (typeof part === "string") {
      place.key = step.key;
      place.path[depth] = step.written;
      under = part;
    } else {
      place.key = null;
      under = "";
    }
    node = step.value;
    place.deepest = node;
    place.variable = node.variable ?? place.variable;
  }
  place.value = node;
  return place;
}

function descend(
  node: Located,
  part: string | number,
  under: string,
): { key: Span | null; written: string; value: Located } | null {
  if (node.kind === "list") {
    const item = typeof part === "number" ? node.items[part] : undefined;
    return item === undefined ? null : { key: null, written: "", value: item };
  }
  if (node.kind !== "map" || typeof part !== "string") return null;
  const direct = node.entries.get(part);
  if (direct !== undefined) return { key: direct.key, written: part, value: direct.value };
  for (const [old, now] of Object.entries(oldSpellings(under, typeOf(node)))) {
    const entry = now === part ? node.entries.get(old) : undefined;
    if (entry !== undefined) return { key: entry.key, written: old, value: entry.value };
  }
  return null;
}
