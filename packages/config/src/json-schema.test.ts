import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type JsonSchema, manifestJsonSchema, writtenOut } from "./json-schema.ts";
import { presets } from "./presets/index.ts";

const schema = manifestJsonSchema();
const root = schema;

/** The part of JSON Schema draft 7 that our schema uses; null when valid, else where it is not. */
function invalid(node: JsonSchema | boolean, data: unknown, path = ""): string | null {
  if (typeof node === "boolean") return node ? null : path;
  const wrong = `${path}: ${JSON.stringify(node).slice(0, 80)}`;
  const branches = (node["anyOf"] ?? node["oneOf"]) as JsonSchema[] | undefined;
  if (branches !== undefined) {
    const answers = branches.map((branch) => invalid(branch, data, path));
    if (!answers.includes(null))
      return answers.sort((a, b) => (b?.indexOf(":") ?? 0) - (a?.indexOf(":") ?? 0))[0] ?? wrong;
    // Editors flag what fits several of `oneOf`.
    if ("oneOf" in node && answers.filter((answer) => answer === null).length > 1) return `${path}: fits more than one`;
  }
  for (const part of (node["allOf"] ?? []) as JsonSchema[]) {
    const answer = invalid(part, data, path);
    if (answer !== null) return answer;
  }
  if (typeof node["$ref"] === "string") {
    const target = node["$ref"]
      .split("/")
      .slice(1)
      .reduce<unknown>((at, key) => (at as JsonSchema)[key], root);
    return invalid(target as JsonSchema, data, path);
  }
  if ("const" in node && node["const"] !== data) return wrong;
  if ("enum" in node && !(node["enum"] as unknown[]).includes(data)) return wrong;
  const types = node["type"] === undefined ? [] : [node["type"]].flat();
  if (types.length > 0 && !types.some((type) => isType(String(type), data))) return wrong;
  if (typeof data === "number") {
    if (data < Number(node["minimum"] ?? -Infinity) || data <= Number(node["exclusiveMinimum"] ?? -Infinity))
      return wrong;
    if (data > Number(node["maximum"] ?? Infinity)) return wrong;
  }
  if (typeof data === "string" && typeof node["pattern"] === "string" && !new RegExp(node["pattern"], "u").test(data))
    return wrong;
  if (Array.isArray(data)) {
    if (data.length < Number(node["minItems"] ?? 0)) return wrong;
    for (const [index, item] of data.entries()) {
      const answer = invalid((node["items"] ?? true) as JsonSchema, item, `${path}/${index}`);
      if (answer !== null) return answer;
    }
  } else if (data !== null && typeof data === "object") {
    const properties = (node["properties"] ?? {}) as Record<string, JsonSchema>;
    for (const key of (node["required"] ?? []) as string[]) if (!(key in data)) return `${path}/${key}: required`;
    for (const [key, value] of Object.entries(data)) {
      const member = Object.hasOwn(properties, key)
        ? properties[key]
        : ((node["additionalProperties"] ?? true) as JsonSchema);
      const answer = invalid(member ?? true, value, `${path}/${key}`);
      if (answer !== null) return answer;
    }
  }
  return null;
}

function isType(type: string, data: unknown): boolean {
  if (type === "null") return data === null;
  if (type === "array") return Array.isArray(data);
  if (type === "object") return data !== null && typeof data === "object" && !Array.isArray(data);
  return type === "integer" ? Number.isInteger(data) : typeof data === type;
}

/** Keys below a schema that have no hover text, with their places. */
function undescribed(node: unknown, place: string): string[] {
  if (node === null || typeof node !== "object") return [];
  if (Array.isArray(node)) return node.flatMap((item, i) => undescribed(item, `${place}[${i}]`));
  const here = Object.entries(((node as JsonSchema)["properties"] ?? {}) as Record<string, JsonSchema>)
    .filter(([, value]) => typeof value["description"] !== "string" || value["description"].length < 3)
    .map(([key]) => `${place}.${key}`);
  const below = Object.entries(node).flatMap(([key, value]) =>
    ["default", "enum", "const", "required"].includes(key) ? [] : undescribed(value, `${place}/${key}`),
  );
  return [...here, ...below];
}

describe("the JSON Schema for editors", () => {
  it("has hover text on every key", () => {
    expect(undescribed(schema, "")).toEqual([]);
    const count = JSON.stringify(writtenOut()).match(/"description"/g)?.length;
    expect(count).toBeGreaterThan(500);
  });

  it.each(Object.keys(presets))("accepts the preset %s with its variables unresolved", (name) => {
    expect(invalid(schema, parse(presets[name] ?? "", { merge: true }))).toBeNull();
  });

  it.each([
    ["an unknown key", "n_heads: 4", "n_heds: 4"],
    ["an unknown layer", "type: AttentionLayer", "type: Attention"],
    ["a wrong type", "n_heads: 4", "n_heads: four"],
    ["a value out of range", "lr: 1e-3", "lr: -1"],
    ["a missing version", "version: 2\n", ""],
    ["a bare ref that does not exist", "trainer: trainer.standard", "trainer: trainer.standrd"],
    [
      "a bare ref of a component that needs settings",
      "trainer: trainer.standard",
      "trainer: trainer.checkpoint_compare",
    ],
  ])("refuses %s", (_, from, to) => {
    const text = (presets["tiny_decoupled"] ?? "").replace(from, to);
    expect(text).not.toBe(presets["tiny_decoupled"]);
    expect(invalid(schema, parse(text))).not.toBeNull();
  });

  it("accepts components as bare refs or mappings", () => {
    const text = (presets["tiny_decoupled"] ?? "").replace(
      "trainer: trainer.standard",
      "trainer: {ref: trainer.standard}",
    );
    expect(invalid(schema, parse(text))).toBeNull();
    // biome-ignore lint/suspicious/noTemplateCurlyInString: manifests write variables as ${name}.
    const withVariable = text.replace("trainer: {ref: trainer.standard}", 'trainer: "${trainer}"');
    expect(withVariable).not.toBe(text);
    expect(invalid(schema, parse(withVariable))).toBeNull();
  });

  it("describes every key of every mapping", () => {
    const missing: string[] = [];
    const visit = (node: unknown, path: string): void => {
      if (node === null || typeof node !== "object") return;
      const properties = (node as JsonSchema)["properties"];
      if (properties !== null && typeof properties === "object" && !Array.isArray(properties)) {
        for (const [key, value] of Object.entries(properties as Record<string, JsonSchema>)) {
          const told = "description" in value || "const" in value || key === "ref" || "$ref" in value;
          if (!told) missing.push(`${path}.${key}`);
        }
      }
      for (const [key, value] of Object.entries(node)) visit(value, `${path}.${key}`);
    };
    visit(schema, "");
    expect(missing).toEqual([]);
  });
});
