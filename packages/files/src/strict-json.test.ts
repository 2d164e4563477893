import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson, JsonError, parseStrictJson } from "./strict-json.ts";

describe("parseStrictJson", () => {
  it("reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(0, 1, 3), (text, indent) => {
        const value: unknown = JSON.parse(text);
        expect(parseStrictJson(JSON.stringify(value, null, indent))).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it("refuses what JSON.parse refuses", () => {
    fc.assert(
      fc.property(
        fc.json(),
        fc.nat(),
        fc.constantFrom("", ",", "{", "]", '"', "\\", "0", "\u0001", "e"),
        (json, at, put) => {
          const i = at % (json.length + 1);
          const text = json.slice(0, i) + put + json.slice(i + 1);
          let valid = true;
          try {
            JSON.parse(text);
          } catch {
            valid = false;
          }
          fc.pre(!valid);
          expect(() => parseStrictJson(text)).toThrow(JsonError);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("refuses equal keys, at any depth and however they are spelled", () => {
    expect(() => parseStrictJson('{"a":1,"a":1}')).toThrow(/"a" occurs twice/);
    expect(() => parseStrictJson('[{"x":{"a":1,"\\u0061":2}}]')).toThrow(/"a" occurs twice/);
    expect(parseStrictJson('{"a":{"a":1},"A":2}')).toEqual({ a: { a: 1 }, A: 2 });
  });

  it("keeps __proto__ as an ordinary key", () => {
    const value = parseStrictJson('{"__proto__":{"polluted":true}}') as object;
    expect(Object.keys(value)).toEqual(["__proto__"]);
    expect("polluted" in {}).toBe(false);
    expect("polluted" in value).toBe(false);
  });

  it.each([
    ["[".repeat(100_000), /nested more than 64 deep/],
    [`{"a":${"1".repeat(1000)}}`, /too long/],
    ["1e999", /too large/],
    ['"\\ud800"', /not valid/],
    ['"abc', /no closing quote/],
    [`"${"\\".repeat(99_999)}`, /no closing quote/],
    ["1 2", /after the document/],
    ["\ufeff{}", /expected a value/],
    ["", /expected a value/],
  ])("refuses %.20s", (text, message) => {
    expect(() => parseStrictJson(text)).toThrow(message);
  });

  it("nests as deep as it is told to", () => {
    const nested = (depth: number): string => '{"a":['.repeat(depth / 2) + "]}".repeat(depth / 2);
    for (const deepest of [64, 500]) {
      const options = deepest === 64 ? {} : { deepest };
      expect(parseStrictJson(nested(deepest), options)).toEqual(JSON.parse(nested(deepest)));
      expect(() => parseStrictJson(nested(deepest + 2), options)).toThrow(`nested more than ${deepest} deep`);
    }
  });

  it("takes long strings and long lists without deep recursion", () => {
    const long = "é".repeat(3_000_000);
    expect(parseStrictJson(JSON.stringify([long]))).toEqual([long]);
    expect(parseStrictJson(`[${"0,".repeat(300_000)}0]`)).toHaveLength(300_001);
  });
});

describe("canonicalJson", () => {
  it("gives equal text for equal values, and text that reads back", () => {
    expect(canonicalJson({ b: [1, null, "x"], a: { d: true, c: 1e-7 } })).toBe(
      '{"a":{"c":1e-7,"d":true},"b":[1,null,"x"]}',
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        // JSON has one zero.
        const plain: unknown = JSON.parse(JSON.stringify(value));
        expect(parseStrictJson(canonicalJson(value))).toEqual(plain);
      }),
    );
  });

  it.each([
    [{ a: { b: Number.NaN } }, /value\.a\.b: NaN/],
    [[0, Number.POSITIVE_INFINITY], /value\[1\]: Infinity/],
    [{ a: 1n }, /value\.a/],
    [{ a: [undefined] }, /value\.a\[0\]/],
    [{ a: new Date(0) }, /value\.a/],
    [{ a: new Float32Array(1) }, /value\.a/],
  ])("refuses what JSON would change: %o", (value, message) => {
    expect(() => canonicalJson(value)).toThrow(message);
  });
});
