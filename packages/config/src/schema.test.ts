import { describe, expect, it } from "vitest";
import { z } from "zod";
import { attentionLayerConfig } from "./layers/attention.ts";
import { exactly, object, positiveInt, variants } from "./schema.ts";

describe("object", () => {
  const schema = object(
    { d_model: positiveInt, q_chunk: positiveInt.nullable().default(null) },
    ({ dModel, qChunk }) => (qChunk !== null && qChunk > dModel ? [{ path: ["q_chunk"], message: "too long" }] : []),
  );

  it("reads manifest spelling and yields camelCase", () => {
    expect(schema.parse({ d_model: 4 })).toEqual({ dModel: 4, qChunk: null });
    expect(schema.safeParse({ dModel: 4 }).success).toBe(false);
  });

  it("is strict, also about inherited names", () => {
    expect(schema.safeParse({ d_model: 4, extra: 1 }).success).toBe(false);
    expect(schema.safeParse({ d_model: 4, constructor: 1 }).success).toBe(false);
  });

  it("applies its rules to the finished value, with paths in manifest spelling", () => {
    const result = schema.safeParse({ d_model: 4, q_chunk: 5 });
    expect(result.error?.issues).toMatchObject([{ path: ["q_chunk"], message: "too long" }]);
  });
});

describe("exactly", () => {
  it("is the schema itself when both types are equal", () => {
    const schema = object({ a: z.number(), b: z.string().nullable().default(null) });
    expect(exactly<{ a: number; b: string | null }>()(schema)).toBe(schema);
  });

  it("does not compile when they differ", () => {
    const schema = object({ a: z.number(), b: z.string() });
    // @ts-expect-error: b is a string
    exactly<{ a: number; b: number }>()(schema);
    // @ts-expect-error: b is missing in the interface
    exactly<{ a: number }>()(schema);
    // @ts-expect-error: c is missing in the schema
    exactly<{ a: number; b: string; c: string }>()(schema);
    // @ts-expect-error: c is missing in the schema even if optional
    exactly<{ a: number; b: string; c?: string }>()(schema);
    expect(schema.parse({ a: 1, b: "x" })).toEqual({ a: 1, b: "x" });
  });
});

describe("variants", () => {
  it("picks by the literal, through the renaming and through exactly", () => {
    const union = variants("type", [
      exactly<{ type: "a"; n: number }>()(object({ type: z.literal("a"), n: z.number() })),
      object({ type: z.enum(["b", "c"]) }),
    ]);
    expect(union.parse({ type: "a", n: 1 })).toEqual({ type: "a", n: 1 });
    expect(union.parse({ type: "c" })).toEqual({ type: "c" });
    expect(union.safeParse({ type: "d" }).error?.issues[0]).toMatchObject({ code: "invalid_union", path: ["type"] });
  });
});

describe("input types", () => {
  it("demand what has no default and refuse what does not exist", () => {
    // @ts-expect-error: nHeads is required
    expect(() => attentionLayerConfig({ dModel: 4 })).toThrow("nHeads");
    // @ts-expect-error: nHead does not exist
    expect(() => attentionLayerConfig({ dModel: 4, nHeads: 2, nHead: 2 })).toThrow("nHead");
    // @ts-expect-error: no such mode
    expect(() => attentionLayerConfig({ dModel: 4, nHeads: 2, mode: "mla" })).toThrow("mla");
  });
});
