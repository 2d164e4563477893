// biome-ignore-all lint/suspicious/noTemplateCurlyInString: manifests write variables as ${name}.
/**
 * JSON Schema of manifests for editors (completion, hover text), generated from the zod schemas. It is looser than
 * the parser where it must be: a variable `${name}` may stand for any plain value or list, and a component may be its bare ref.
 */
import { z } from "zod";
import { groupManifestSchema, targetManifestSchema } from "./manifest.ts";

/** Plain data; draft 7, which YAML editors understand best. */
export type JsonSchema = { [key: string]: unknown };

const variable = { type: "string", pattern: "\\$\\{\\w+\\}" };

/** The JSON Schema that both manifest forms satisfy. */
export function manifestJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(z.union([targetManifestSchema, groupManifestSchema]), {
    target: "draft-7",
    io: "input",
    reused: "inline",
    override: ({ jsonSchema }) => loosen(jsonSchema as JsonSchema),
  }) as JsonSchema;
  for (const form of forms(schema)) {
    (form["properties"] as JsonSchema)["vars"] = { type: "object", description: "Values for ${name} anywhere below" };
  }
  return { title: "Caramba manifest", ...schema };
}

/** Let a variable stand where a plain value is described, and a bare ref where a component is. */
function loosen(schema: JsonSchema): void {
  const properties = schema["properties"] as JsonSchema | undefined;
  const plain =
    ["number", "integer", "boolean", "array"].includes(String(schema["type"])) ||
    ["enum", "pattern", "allOf"].some((key) => key in schema);
  const component = properties !== undefined && "ref" in properties;
  if (!plain && !component) return;
  const { description, default: fallback, ...rest } = schema;
  for (const key of Object.keys(schema)) delete schema[key];
  if (description !== undefined) schema["description"] = description;
  if (fallback !== undefined) schema["default"] = fallback;
  schema["anyOf"] = [rest, component ? { type: "string" } : variable];
}

function forms(schema: JsonSchema): JsonSchema[] {
  const definitions = (schema["definitions"] ?? {}) as Record<string, JsonSchema>;
  return (schema["anyOf"] as JsonSchema[]).map((form) => {
    const name = typeof form["$ref"] === "string" ? form["$ref"].replace("#/definitions/", "") : undefined;
    return name === undefined ? form : (definitions[name] ?? form);
  });
}
