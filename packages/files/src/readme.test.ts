// The README's example runs as it is printed, in a folder of its own.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import * as own from "./index.ts";

it("the README's example runs, and leaves its two files", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const body = example.replace(/import (\{[^}]*\}) from "@caramba\/files";/, "const $1 = own;");
  const lines: unknown[][] = [];
  const log = (...values: unknown[]): void => void lines.push(values);
  const folder = await mkdtemp(join(tmpdir(), "caramba-files-"));
  try {
    const run = new Function("own", "console", "folder", `return (async () => {${body}})()`);
    await run(own, { log }, folder);
    expect(lines).toEqual([[3], [7, "2 3"]]);
    expect((await readdir(folder)).sort()).toEqual(["a.json", "b.bin"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
