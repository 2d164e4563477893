// What every package must bring along, so that a new one cannot be half set up.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readWorkspace } from "./check-imports.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path) => readFileSync(root + path, "utf8");
const names = readdirSync(`${root}packages`);

describe.each(names)("%s", (name) => {
  const manifest = JSON.parse(read(`packages/${name}/package.json`));

  it("has the manifest of a public ES module package", () => {
    expect(manifest).toMatchObject({ name: `@caramba/${name}`, type: "module", license: "MIT" });
    expect(manifest.private).toBeUndefined();
    expect(manifest.description).toMatch(/\w/);
    expect(manifest.scripts).toMatchObject({
      build: "tsc -b",
      "lint:pkg": expect.stringContaining("publint --strict"),
    });
  });

  it("has a README with a runnable example", () => {
    expect(existsSync(`${root}packages/${name}/README.md`)).toBe(true);
    expect(read(`packages/${name}/README.md`)).toMatch(/^```(ts|js|sh|console)\n/m);
  });

  it("is part of the whole build", () => {
    const { references } = JSON.parse(read("tsconfig.json"));
    expect(references.map((ref) => ref.path)).toContain(`packages/${name}`);
  });

  it("references only what it depends on", () => {
    const text = read(`packages/${name}/tsconfig.json`).replace(/^\s*\/\/.*$/gm, "");
    for (const { path } of JSON.parse(text).references ?? [])
      expect(Object.keys(manifest.dependencies ?? {})).toContain(`@caramba/${path.replace("../", "")}`);
  });
});

it("makes paths from URLs by fileURLToPath, which a space in the path survives", () => {
  const { files } = readWorkspace(root);
  expect(files.size).toBeGreaterThan(100);
  const wrong = [...files].filter(([, text]) => /import\.meta\.url\)\.pathname/.test(text));
  expect(wrong.map(([path]) => path)).toEqual([]);
});

it("records no address in the lockfile", () => {
  expect(read("pnpm-lock.yaml")).not.toMatch(/https?:|tarball:/);
});
