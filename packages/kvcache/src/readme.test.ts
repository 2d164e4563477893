// The README's example runs as it is printed.
import { readFileSync } from "node:fs";

import * as tensor from "@caramba/tensor";
import { expect, it } from "vitest";
import * as own from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const modules: Record<string, unknown> = { "@caramba/kvcache": own, "@caramba/tensor": tensor };

it("the README's example runs", async () => {
  tensor.setDefaultBackend(new tensor.ReferenceBackend());
  const [example = ""] = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1]);
  const body = example.replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = modules[$2];");
  const lines: unknown[][] = [];
  const log = (...values: unknown[]): void => void lines.push(values);
  await new Function("modules", "console", `return (async () => {${body}})()`)(modules, { log });
  expect(lines).toEqual([[3, 8, 768], [[3, 4, 8]], [2]]);
});
