// The README's example runs as it is printed.
import { readFileSync } from "node:fs";
import * as tensor from "@caramba/tensor";
import { expect, test } from "vitest";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

test("the README's example runs", async () => {
  const [example = ""] = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);
  const body = example.replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = tensor;");
  const lines: unknown[] = [];
  await new Function("tensor", "console", `return (async () => {${body}})()`)(tensor, {
    log: (value: unknown) => lines.push(value),
  });
  expect(lines).toEqual([new Float32Array(8).fill(0.25)]);
});
