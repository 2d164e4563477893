// biome-ignore-all lint/suspicious/noTemplateCurlyInString: manifests write variables as ${name}.
import { describe, expect, it } from "vitest";
import { type LocatedMap, toPlain } from "./located.ts";
import { readSource } from "./source.ts";
import { substituteVariables } from "./vars.ts";

function substitute(text: string): { data: unknown; issues: string[] } {
  const source = readSource(text, false);
  expect(source.issues).toEqual([]);
  const { root, issues } = substituteVariables(source.root as LocatedMap);
  return { data: toPlain(root, () => {}), issues: issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`) };
}

describe("variables", () => {
  it("keep their type when they are the whole text", () => {
    const { data, issues } = substitute(
      "vars: {n: 3, f: 1e-4, b: false, s: hi, l: [1, 2], m: {k: 1}, z: null}\nx: ['${n}', '${f}', '${b}', '${s}', '${l}', '${m}', '${z}']",
    );
    expect(issues).toEqual([]);
    expect(data).toEqual({ x: [3, 0.0001, false, "hi", [1, 2], { k: 1 }, null] });
  });

  it("are written out inside a longer text, every time they occur", () => {
    expect(substitute("vars: {n: 3, s: hi}\nx: run_${n}_${s}_${n}").data).toEqual({ x: "run_3_hi_3" });
  });

  it("are replaced in values at any depth, not in keys", () => {
    expect(substitute("vars: {n: 3}\n${n}: {a: [{b: '${n}'}]}").data).toEqual({ "${n}": { a: [{ b: 3 }] } });
  });

  it("may use variables defined later", () => {
    expect(substitute("vars: {a: '${b}', b: 'x${c}', c: 1}\ny: '${a}'").data).toEqual({ y: "x1" });
  });

  it("are left alone without a vars section, and the section disappears", () => {
    expect(substitute("x: '${n}'").data).toEqual({ x: "${n}" });
    expect(substitute("vars:\nx: 1").data).toEqual({ x: 1 });
  });

  it("are substituted through anchors", () => {
    expect(substitute("vars: {n: 3}\na: &a {k: '${n}'}\nb: *a\nc: {<<: *a}").data).toEqual({
      a: { k: 3 },
      b: { k: 3 },
      c: { k: 3 },
    });
  });
});

describe("mistakes with variables", () => {
  it.each([
    ["vars: {a: '${b}', b: '${a}'}\nx: '${a}'", ["vars.a: expected a value, found a cycle: a -> b -> a"]],
    ["vars: {a: 'x${a}'}", ["vars.a: expected a value, found a cycle: a -> a"]],
    [
      "vars: {width: 1}\nx: '${widht}'",
      ['x: expected the name of a variable in vars, found "widht" (did you mean "width"?)'],
    ],
    ["vars: {a: [1]}\nx: 'n${a}'", ["x: expected a plain value for ${a} inside a text, found a list"]],
    ["vars: [1]\nx: 1", ["vars: expected a mapping of names to values, found something else"]],
    ["vars: {a b: 1}", ['vars.a b: expected a name of letters, digits and underscores, found "a b"']],
  ])("%s", (text, expected) => {
    expect(substitute(text).issues).toEqual(expected);
  });

  it("end soon for texts that double and chains without end", () => {
    const doubling = Array.from(
      { length: 40 },
      (_, i) => `v${i}: "${i === 0 ? "xxxxxxxx" : `\${v${i - 1}}\${v${i - 1}}`}"`,
    );
    expect(substitute(`vars: {${doubling.join(", ")}}`).issues.join()).toContain("at most 100000 characters");
    const chain = Array.from({ length: 5000 }, (_, i) => `v${i}: "\${v${i + 1}}"`);
    expect(substitute(`vars: {${chain.join(", ")}, v5000: 1}`).issues.join()).toContain("at most 100 deep");
  });
});
