/**
 * A JSON Schema with what it says several times said once, under `definitions`: a parameter of a dozen layers, or a run
 * of both manifest forms. Nothing else changes: with every reference put back it is the schema that came in. What a key
 * means (description, default) stays beside the reference, where editors look for hover text first.
 */
import type { JsonSchema } from "./json-schema.ts";

/** Shorter ones stay where they are: a reference to them would say no less. */
const worthSharing = 160;

/** What stays beside a reference. */
const notes = ["description", "default"] as const;

/** The same schema, with parts that occur more than once as definitions, each named for what it describes. */
export function shareDefinitions(schema: JsonSchema): JsonSchema {
  const counts = new Map<string, number>();
  const counted = (node: JsonSchema): JsonSchema => {
    const key = JSON.stringify(bare(node));
    const before = counts.get(key) ?? 0;
    counts.set(key, before + 1);
    // What is inside a part that was met before is no further occurrence.
    if (before === 0) mapParts(node, "", counted);
    return node;
  };
  counted(schema);

  const definitions: Record<string, JsonSchema> = {};
  const names = new Map<string, string>();
  const share = (node: JsonSchema, hint: string): JsonSchema => {
    const plain = bare(node);
    const key = JSON.stringify(plain);
    if (key.length < worthSharing || (counts.get(key) ?? 0) < 2 || "$ref" in node) return mapParts(node, hint, share);
    let name = names.get(key);
    if (name === undefined) {
      const wanted = titleOf(plain) ?? (hint === "" ? "part" : hint);
      name = wanted;
      for (let n = 2; name in definitions || name in known; n++) name = `${wanted}_${n}`;
      names.set(key, name);
      definitions[name] = {}; // its place, before those inside it
      definitions[name] = mapParts(plain, hint, share);
    }
    const beside = Object.fromEntries(notes.flatMap((note) => (note in node ? [[note, node[note]]] : [])));
    return { ...beside, $ref: `#/definitions/${name}` };
  };
  const { definitions: given, ...rest } = schema;
  const known = (given ?? {}) as Record<string, JsonSchema>;
  const root = mapParts(rest, "", share);
  const kept = Object.fromEntries(Object.entries(known).map(([name, node]) => [name, mapParts(node, "", share)]));
  return { ...root, definitions: { ...kept, ...definitions } };
}

/** Without what stays beside a reference. */
function bare(node: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(node).filter(([key]) => !(notes as readonly string[]).includes(key)));
}

/** The constant that tells a mapping from its siblings: a layer's type, a component's ref. */
function titleOf(node: JsonSchema): string | undefined {
  const properties = (node["properties"] ?? {}) as Record<string, JsonSchema>;
  for (const key of ["type", "ref", "kind"]) {
    const value = properties[key]?.["const"];
    if (typeof value === "string") return value;
  }
  return undefined;
}

/** A copy with each schema directly inside replaced; `hint` is the key that leads to it. */
function mapParts(node: JsonSchema, hint: string, replace: (part: JsonSchema, hint: string) => JsonSchema): JsonSchema {
  const copy: JsonSchema = { ...node };
  const each = (value: unknown, name: string): unknown =>
    value !== null && typeof value === "object" && !Array.isArray(value) ? replace(value as JsonSchema, name) : value;
  for (const key of ["properties", "definitions"]) {
    const parts = node[key];
    if (parts !== null && typeof parts === "object")
      copy[key] = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, each(part, name)]));
  }
  for (const key of ["anyOf", "oneOf", "allOf"]) {
    const parts = node[key];
    if (Array.isArray(parts)) copy[key] = parts.map((part) => each(part, hint));
  }
  for (const key of ["items", "additionalProperties", "propertyNames"])
    if (key in node) copy[key] = each(node[key], hint);
  return copy;
}
