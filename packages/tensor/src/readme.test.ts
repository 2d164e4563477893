// The README's example runs as it is printed.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as own from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

test("the README's example runs", async () => {
  own.setDefaultBackend(new own.ReferenceBackend());
  const [example = ""] = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);
  const body = example.replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = own;");
  const lines: unknown[] = [];
  await new Function("own", "console", `return (async () => {${body}})()`)(own, {
    log: (value: unknown) => lines.push(value),
  });
  expect(lines[0]).toEqual(Float32Array.of(2, 4, 6));
  expect((lines[1] as Float32Array)[0]).toBeCloseTo(3, 4);
});

test("the README lists every op", () => {
  for (const { name } of [...own.primitives, ...own.composites])
    expect(readme, name).toMatch(new RegExp(`\`${name.replace(/^adamw(M|V|Param)$/, "adamw")}[\`(]`));
});
