import { describe, expect, it } from "vitest";
import { type JsonSchema, manifestJsonSchema, writtenOut } from "./json-schema.ts";
import { shareDefinitions } from "./share-definitions.ts";

/** References put back, but for those to definitions that `keep` names: they contain themselves. */
function expanded(node: unknown, definitions: Record<string, JsonSchema>, keep: ReadonlySet<string>): unknown {
  if (Array.isArray(node)) return node.map((item) => expanded(item, definitions, keep));
  if (node === null || typeof node !== "object") return node;
  const { $ref, ...rest } = node as JsonSchema;
  const name = typeof $ref === "string" ? $ref.replace("#/definitions/", "") : null;
  if (name !== null && !keep.has(name)) return expanded({ ...definitions[name], ...rest }, definitions, keep);
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, expanded(value, definitions, keep)]));
}

describe("shareDefinitions", () => {
  it("says the same: references put back give the schema that came in", () => {
    const given = writtenOut();
    const shared = manifestJsonSchema();
    const definitions = shared["definitions"] as Record<string, JsonSchema>;
    const keep = new Set(Object.keys(given["definitions"] as object));
    const { definitions: _, ...root } = shared;
    const known = Object.fromEntries([...keep].map((name) => [name, definitions[name]]));
    expect(expanded({ ...root, definitions: known }, definitions, keep)).toEqual(given);
  });

  it("makes it much smaller, by definitions that are used, and named for what they describe", () => {
    const text = JSON.stringify(manifestJsonSchema());
    expect(text.length).toBeLessThan(JSON.stringify(writtenOut()).length / 2);
    const definitions = Object.keys(manifestJsonSchema()["definitions"] as object);
    for (const name of definitions) expect(text.split(`"#/definitions/${name}"`).length).toBeGreaterThan(1);
    expect(definitions).toEqual(expect.arrayContaining(["GraphTopology", "defaults", "model", "runs", "benchmarks"]));
  });

  it("keeps what a key means beside the reference", () => {
    const long = { type: "string", enum: Array.from({ length: 40 }, (_, i) => `value ${i}`) };
    const properties = { a: { ...long, description: "One" }, b: { ...long, description: "Two", default: "value 3" } };
    expect(shareDefinitions({ type: "object", properties })).toEqual({
      type: "object",
      properties: {
        a: { description: "One", $ref: "#/definitions/a" },
        b: { description: "Two", default: "value 3", $ref: "#/definitions/a" },
      },
      definitions: { a: long },
    });
  });
});
