// The README's example runs as it stands.
import { readFileSync } from "node:fs";
import * as data from "@caramba/data";
import * as model from "@caramba/model";
import { expect, it, vi } from "vitest";
import * as benchmark from "./index.ts";

it("the example of the README runs", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] as string;
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  try {
    const body = example.replace(/import (\{[^}]*\}) from "@caramba\/(\w+)";/g, "const $1 = packages.$2;");
    // biome-ignore lint/security/noGlobalEval: the text is our own README.
    await eval(`(async (packages) => {${body}})`)({ benchmark, data, model });
    const lines = log.mock.calls.map((call) => String(call[0]));
    expect(lines[0]).toMatch(/^perplexity \d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)$/);
    expect(lines[1]).toMatch(/^prompt 16: first token [\d.]+ ms, \d+ tok\/s$/);
    // One layer, 2 KV heads of 8 keys and 8 values, 128 tokens.
    expect(lines.slice(3)).toEqual([
      `fp16: ${(128 * 32 * 2) / 2 ** 20} MB`,
      `q8_0: ${(128 * 32 * 1.0625) / 2 ** 20} MB`,
    ]);
  } finally {
    log.mockRestore();
  }
});
