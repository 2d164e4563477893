// The README's example runs as it stands.
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, vi } from "vitest";
import * as data from "./index.ts";

it("the example of the README runs", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] as string;
  const folder = await mkdtemp(join(tmpdir(), "caramba-readme-"));
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  try {
    const body = example
      .replace(/import (\{[^}]*\}) from "@caramba\/data";/, "const $1 = data;")
      .replaceAll('"quick/', `"${folder}/quick/`)
      .replace('"node_modules"', JSON.stringify(fileURLToPath(new URL("../../../node_modules", import.meta.url))));
    // biome-ignore lint/security/noGlobalEval: the text is our own README.
    await eval(`(async (data) => {${body}})`)(data);
    expect(log.mock.calls[0]?.[0]).toMatch(/^\d+ tokens, \d+ windows per epoch, 10 to evaluate on$/);
    expect(String(log.mock.calls[1]?.[0]).length).toBeGreaterThan(20);
  } finally {
    log.mockRestore();
    await rm(folder, { recursive: true });
  }
});
