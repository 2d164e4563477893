import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jsonMistakeAt } from "./json-mistake.ts";

const parses = (json: string): boolean => {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
};

describe("jsonMistakeAt", () => {
  it.each([
    ['{"a": [1,]}', 9],
    ['{"a": 1,}', 8],
    ["{a: 1}", 1],
    ['{"a" 1}', 5],
    ["[1 2]", 3],
    ["[1]]", 3],
    ["{]", 1],
    ["", 0],
    ['{"a": [1', 8],
    ["[01]", 1],
    ["[1.]", 1],
    ['["a\nb"]', 1],
    ["[nul]", 1],
    [" [tru\u00e9] ", 2],
  ])("%j: at %i", (json, at) => expect(jsonMistakeAt(json)).toBe(at));

  it("finds none exactly where JSON.parse finds none", () => {
    const damaged = fc.tuple(
      fc.json(),
      fc.nat(),
      fc.constantFrom("", ",", "]", "}", '"', "1", "e", "\\", " ", "\t", ":"),
    );
    fc.assert(
      fc.property(damaged, ([json, where, put]) => {
        const at = where % (json.length + 1);
        const text = json.slice(0, at) + put + json.slice(at + (put === "" ? 1 : 0));
        const found = jsonMistakeAt(text);
        expect(found === null).toBe(parses(text));
        // What stands before it is no mistake: it is whole, or only its end is missing.
        if (found !== null) expect([null, found]).toContain(jsonMistakeAt(text.slice(0, found)));
      }),
      { numRuns: 2000 },
    );
  });
});
