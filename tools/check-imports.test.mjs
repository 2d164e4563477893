// The check must fail on each kind of violation, and pass on the same workspace without it.
import { describe, expect, it } from "vitest";
import { circles, importsOf, violations } from "./check-imports.mjs";

const pkg = (name, row, uses = [], more = {}) => {
  const declared = new Set(uses.map((use) => `@caramba/${use}`));
  const base = { name: `@caramba/${name}`, dir: `packages/${name}`, row, exports: ["."] };
  return { ...base, declared, declaredDev: new Set(), references: declared, ...more };
};
const workspace = [
  pkg("tensor", "numbers"),
  pkg("backend-onnx", "engines", ["tensor"]),
  pkg("layers", "parts", ["tensor"]),
  pkg("trainer", "work", ["tensor", "layers"]),
];
const check = (files, packages = workspace) => violations(packages, new Map(Object.entries(files)));

describe("importsOf", () => {
  it("finds every form of import and nothing in comments or strings", () => {
    const text = `
      import a, { b } from "./a.ts";
      import type { C } from "./c.ts";
      import { type I } from "./inline.ts";
      import type from "./odd.ts";
      import "./side.ts";
      export * from "./star.ts";
      export { d, e } from "./d.ts";
      export type { F } from "./f.ts";
      // import "./comment.ts";
      const s = 'import "./string.ts"', t = \`export * from "./template.ts"\`;
      await import("./late.ts"); await import(name); await import(\`\${name}.ts\`);`;
    expect(importsOf("x.ts", text)).toEqual([
      { to: "./a.ts", kind: "value" },
      { to: "./c.ts", kind: "type" },
      { to: "./inline.ts", kind: "value" },
      { to: "./odd.ts", kind: "value" },
      { to: "./side.ts", kind: "value" },
      { to: "./star.ts", kind: "value" },
      { to: "./d.ts", kind: "value" },
      { to: "./f.ts", kind: "type" },
      { to: "./late.ts", kind: "late" },
    ]);
  });

  it("refuses what it cannot parse instead of seeing no imports", () => {
    expect(() => importsOf("x.ts", "import {")).toThrow("x.ts");
  });
});

describe("circles", () => {
  it("finds exactly the groups that reach each other", () => {
    const graph = new Map([
      ["a", new Set(["b", "d"])],
      ["b", new Set(["c"])],
      ["c", new Set(["a"])],
      ["d", new Set(["e"])],
      ["self", new Set(["self"])],
    ]);
    expect(circles(graph)).toEqual([["a", "b", "c"], ["self"]]);
  });
});

describe("violations", () => {
  it("passes a workspace in order", () => {
    const files = {
      "packages/tensor/src/index.ts": 'export { a } from "./a.ts"; const e = await import("@caramba/backend-onnx");',
      "packages/tensor/src/a.ts": "export const a = 1;",
      "packages/tensor/src/a.test.ts": 'import "node:fs"; import "./a.ts";',
      "packages/backend-onnx/src/index.ts": 'import "node:fs"; import { a } from "@caramba/tensor";',
      "packages/trainer/src/index.ts": 'import "@caramba/layers"; import "@caramba/tensor";',
    };
    const packages = [pkg("tensor", "numbers", ["backend-onnx"]), ...workspace.slice(1)];
    expect(check(files, packages)).toEqual([]);
  });

  it.each([
    ["a higher row", "layers", 'import "@caramba/trainer";', '"work" is above "parts"'],
    ["a higher row, by type", "layers", 'import type { T } from "@caramba/trainer";', '"work" is above "parts"'],
    ["a higher row, late, that is no engine", "layers", 'await import("@caramba/trainer");', '"work" is above "parts"'],
    ["inner files by name", "trainer", 'import "@caramba/layers/src/x.ts";', "exports no such path"],
    ["inner files by path", "trainer", 'import "../../layers/src/x.ts";', "leaves packages/trainer"],
    ["an unknown package", "trainer", 'import "@caramba/nowhere";', "no such package"],
    ["an undeclared package", "layers", 'import "@caramba/backend-onnx";', "not in the dependencies"],
    ["an unreferenced package", "layers", 'import "@caramba/backend-onnx";', "not in the references"],
    ["a Node module for browsers", "layers", 'import { readFileSync } from "fs";', "runs in browsers"],
    ["a Node module for browsers, late", "layers", 'await import("node:fs");', "runs in browsers"],
    ["a Node package for browsers", "layers", 'import "@caramba/backend-onnx";', "needs Node"],
    ["itself by name", "layers", 'import "@caramba/layers";', "does not import itself"],
  ])("reports %s", (_, name, text, expected) => {
    expect(check({ [`packages/${name}/src/x.ts`]: text }).join("\n")).toContain(expected);
  });

  it("holds tests to the rows as well", () => {
    const problems = check({ "packages/layers/src/x.test.ts": 'import "@caramba/trainer";' });
    expect(problems.join("\n")).toContain('"work" is above "parts"');
  });

  it("reports a circle of files, but not a late or an erased one", () => {
    const files = (back) => ({
      "packages/layers/src/a.ts": 'import "./b.ts";',
      "packages/layers/src/b.ts": back,
    });
    expect(check(files('import "./a.ts";'))).toEqual([
      "circle of files: packages/layers/src/a.ts -> packages/layers/src/b.ts",
    ]);
    expect(check(files('await import("./a.ts");'))).toEqual([]);
    expect(check(files('import type { A } from "./a.ts";'))).toEqual([]);
  });

  it("reports a circle of packages within a row", () => {
    const packages = [pkg("layers", "parts", ["kvcache"]), pkg("kvcache", "parts", ["layers"])];
    const files = {
      "packages/layers/src/x.ts": 'import "@caramba/kvcache";',
      "packages/kvcache/src/x.ts": 'import "@caramba/layers";',
    };
    expect(check(files, packages)).toEqual(["circle of packages: @caramba/kvcache -> @caramba/layers"]);
  });

  it("reports a package with a wrong row", () => {
    expect(check({}, [pkg("layers", "middle")])).toHaveLength(1);
  });
});
