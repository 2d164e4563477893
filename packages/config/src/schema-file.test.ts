// The schema file that editors read is current, and every preset points at it.
import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { manifestJsonSchema } from "./json-schema.ts";
import { editorLine, presets } from "./presets/index.ts";

const folder = new URL("..", import.meta.url);

it("the published schema is the one that the zod schemas make", () => {
  const file = JSON.parse(readFileSync(new URL("schema/caramba.schema.json", folder), "utf8"));
  // If this fails: build, then `caramba schema --output packages/config/schema/caramba.schema.json`, then biome format.
  expect(file).toEqual(JSON.parse(JSON.stringify(manifestJsonSchema())));
});

it("the package publishes it under the path that presets name", () => {
  const { name, files, exports } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8"));
  const inPackage = editorLine.split(`node_modules/${name}/`)[1] ?? "";
  expect(existsSync(new URL(inPackage, folder))).toBe(true);
  expect(exports["./schema.json"]).toBe(`./${inPackage}`);
  expect(files).toContain(inPackage.split("/")[0]);
});

it.each(Object.entries(presets))("%s has the line for editors among its first comments, once", (_, text) => {
  expect(text.split(editorLine)).toHaveLength(2);
  expect(text.slice(0, text.indexOf(editorLine))).toMatch(/^(#.*\n)+$/);
});
