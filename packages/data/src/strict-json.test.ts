import fc from "fast-check";
import { expect, it } from "vitest";
import { DEEPEST, parseStrictJson } from "./strict-json.ts";

it("gives what JSON.parse gives", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      expect(parseStrictJson(text)).toEqual(JSON.parse(text));
    }),
    { numRuns: 300 },
  );
  for (const text of ["", "{", '{"a":1,}', "NaN", "\ufeff{}"]) expect(() => parseStrictJson(text)).toThrow(SyntaxError);
});

it("finds a key that occurs twice, wherever it is and however it is written", () => {
  // Objects of which every second has one of its keys again, at a place and with escapes at random.
  const keys = fc.uniqueArray(fc.string({ maxLength: 4, unit: "grapheme" }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(
      keys,
      fc.nat(),
      fc.boolean(),
      fc.boolean(),
      fc.json({ maxDepth: 2 }),
      (names, pick, twice, escaped, value) => {
        const again = names[pick % names.length] as string;
        const written = (name: string): string =>
          escaped
            ? `"${Array.from({ length: name.length }, (_, i) => `\\u${name.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")}"`
            : JSON.stringify(name);
        const members = [
          ...names.map((name) => `${JSON.stringify(name)}: ${value}`),
          ...(twice ? [`${written(again)}:1`] : []),
        ];
        const text = `[{"x":[{ ${members.join(" ,")} }]}, ${value}]`;
        if (twice) expect(() => parseStrictJson(text)).toThrow(/occurs twice in one object/);
        else expect(parseStrictJson(text)).toEqual(JSON.parse(text));
      },
    ),
    { numRuns: 500 },
  );
});

it.each([
  '{"a":{"a":1},"b":{"a":2}}',
  '[{"a":1},{"a":1}]',
  '{"a":"a","b":"a"}',
  '{"a":["a","a"],"b":"\\"a\\":"}',
  '{"a\\\\":1,"a\\"":2}',
])("takes %s", (text) => {
  expect(parseStrictJson(text)).toEqual(JSON.parse(text));
});

it("__proto__ is a key like others, and changes no object", () => {
  const value = parseStrictJson('{"__proto__":{"polluted":true},"constructor":1}') as Record<string, unknown>;
  expect(Object.keys(value)).toEqual(["__proto__", "constructor"]);
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  expect(() => parseStrictJson('{"__proto__":1,"__proto__":2}')).toThrow(/"__proto__" occurs twice/);
});

it(`nests ${DEEPEST} deep and no deeper`, () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  expect(parseStrictJson(nested(DEEPEST))).toBeInstanceOf(Array);
  expect(() => parseStrictJson(nested(DEEPEST + 1))).toThrow(/more than 64 deep/);
  expect(() => parseStrictJson(nested(1_000_000))).toThrow(/more than 64 deep/);
});
