// The README's example runs as it is printed.
import { readFileSync } from "node:fs";
import * as model from "@caramba/model";
import { ReferenceBackend, setDefaultBackend } from "@caramba/tensor";
import { expect, it } from "vitest";
import * as infer from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const modules: Record<string, unknown> = { "@caramba/infer": infer, "@caramba/model": model };

it("the README's example runs", async () => {
  setDefaultBackend(new ReferenceBackend());
  const [example = ""] = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);
  const body = example.replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = modules[$2];");
  const lines: unknown[][] = [];
  const log = (...values: unknown[]): void => void lines.push(values);
  await new Function("modules", "console", `return (async () => {${body}})()`)(modules, { log });
  const [once, ...rest] = lines;
  expect(once?.[0]).toEqual([new Array(5).fill(expect.any(Number)), new Array(5).fill(expect.any(Number))]);
  const token = [expect.any(Number)];
  expect(rest).toEqual([token, token, token, token, token, [7, "positions cached"], [50]]);
});
