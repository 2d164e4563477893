// The README's example runs as it stands.
import { readFileSync } from "node:fs";
import * as model from "@caramba/model";
import * as tensor from "@caramba/tensor";
import { expect, it, vi } from "vitest";
import * as own from "./index.ts";

it("the example of the README runs", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] as string;
  const packages = { eval: own, model, tensor };
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  try {
    const body = example.replace(/import (\{[^}]*\}) from "@caramba\/(\w+)";/g, "const $1 = packages.$2;");
    // biome-ignore lint/security/noGlobalEval: the text is our own README.
    await eval(`(async (packages) => {${body}})`)(packages);
    expect(log.mock.calls[0]?.[0]).toMatch(/^passed$|^perplexity ratio .* is above/);
    expect(log.mock.calls[1]?.[0]).toMatch(/^perplexity ratio \d\.\d{3}, 95 % interval \d\.\d{3} to \d\.\d{3}$/);
  } finally {
    log.mockRestore();
  }
});
