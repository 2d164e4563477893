import { describe, expect, it } from "vitest";
import { z } from "zod";
import { attentionLayerSchema } from "./attention.ts";
import { benchmarkSpecSchema } from "./benchmark.ts";
import { generateSchema } from "./generate.ts";
import { groupManifestSchema, targetManifestSchema } from "./manifest.ts";
import { camel, snake, snakeKeys } from "./names.ts";
import { trainSchema } from "./train.ts";
import { verifySchema } from "./verify.ts";

/** Every key of every object schema reachable from `schema`. */
function keysOf(schema: z.core.$ZodType, seen = new Set<object>()): string[] {
  if (seen.has(schema)) return [];
  seen.add(schema);
  const own = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const children: z.core.$ZodType[] = [];
  const visit = (value: unknown): void => {
    if (value instanceof z.core.$ZodType) children.push(value);
    else if (Array.isArray(value)) value.forEach(visit);
    else if (value !== null && typeof value === "object") Object.values(value).forEach(visit);
  };
  visit(schema instanceof z.ZodLazy ? schema.unwrap() : { ...schema._zod.def });
  return [...own, ...children.flatMap((child) => keysOf(child, seen))];
}

describe("the two spellings of a field", () => {
  const schemas = [attentionLayerSchema, trainSchema, verifySchema, benchmarkSpecSchema, generateSchema];
  const keys = new Set([...schemas, groupManifestSchema, targetManifestSchema].flatMap((schema) => keysOf(schema)));

  it("finds the keys it is meant to check", () => {
    for (const key of ["d_ff", "adam_beta1", "max_max_l1", "cache_quality_max_mean_kl", "entrypoints"]) {
      expect(keys).toContain(key);
    }
    expect(keys.size).toBeGreaterThan(250);
  });

  it("survive the round trip for every key of every schema", () => {
    for (const key of keys) expect(snake(camel(key))).toBe(key);
  });

  it("convert nested data, dropping undefined", () => {
    expect(snakeKeys({ dModel: 1, layers: [{ dFf: 2, bias: undefined }], kind: "q8_0" })).toEqual({
      d_model: 1,
      layers: [{ d_ff: 2 }],
      kind: "q8_0",
    });
  });

  it("refuse data that contains itself", () => {
    const loop: Record<string, unknown> = {};
    loop["self"] = loop;
    expect(() => snakeKeys(loop)).toThrow(RangeError);
  });
});
