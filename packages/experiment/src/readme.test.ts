// The README's example runs as it is printed, in a folder of its own.
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as data from "@caramba/data";
import { expect, it } from "vitest";
import * as experiment from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const modules: Record<string, unknown> = { "@caramba/data": data, "@caramba/experiment": experiment };

it("the README's example runs", async () => {
  const folder = await mkdtemp(join(tmpdir(), "caramba-readme-"));
  const [example = ""] = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1]);
  const body = example
    .replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = modules[$2];")
    .replaceAll('"quick/', `"${folder}/`)
    .replaceAll(" quick/", ` ${folder}/`);
  const lines: unknown[][] = [];
  const log = (...values: unknown[]): void => void lines.push(values);
  try {
    await new Function("modules", "console", `return (async () => {${body}})()`)(modules, { log });
  } finally {
    await rm(folder, { recursive: true });
  }
  expect(lines).toEqual([
    ["data", join(folder, "tokens.npy")],
    ["build", "standard"],
    ["train", "base"],
    ["benchmark", "quality"],
    ["artifacts", ""],
    ["finished", 20, true, expect.stringMatching(/artifacts[/\\]fox_\d{8}_\d{6}$/)],
    ["skipped"],
  ]);
});
