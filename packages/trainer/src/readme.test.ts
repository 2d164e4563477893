// The README's example runs as it is printed, on the reference engine and in a folder of its own.
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as config from "@caramba/config";
import * as data from "@caramba/data";
import * as model from "@caramba/model";
import * as tensor from "@caramba/tensor";
import { expect, it } from "vitest";
import * as trainer from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const modules: Record<string, unknown> = {
  "@caramba/config": config,
  "@caramba/data": data,
  "@caramba/model": model,
  "@caramba/tensor": { ...tensor, openBackend: () => tensor.openBackend("reference") },
  "@caramba/trainer": trainer,
};

it("the README's example runs", async () => {
  const folder = await mkdtemp(join(tmpdir(), "caramba-readme-"));
  const [example = ""] = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1]);
  const body = example
    .replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = modules[$2];")
    .replaceAll('"quick/', `"${folder}/`);
  const lines: unknown[][] = [];
  const log = (...values: unknown[]): void => void lines.push(values);
  try {
    await new Function("modules", "console", `return (async () => {${body}})()`)(modules, { log });
  } finally {
    await rm(folder, { recursive: true });
  }
  expect(lines).toEqual([
    ["standard", "finished", 30, true],
    ["topology.layers.0.layers.1", true],
    ["blockwise", "finished", 20, true],
    ["global", "finished", 20, expect.any(Boolean)],
    ["global", "skipped", 20, false],
  ]);
});
