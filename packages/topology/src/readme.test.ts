// The README's example runs as it is printed.
import { readFileSync } from "node:fs";
import * as config from "@caramba/config";
import * as tensor from "@caramba/tensor";
import { expect, it } from "vitest";
import * as own from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const modules: Record<string, unknown> = {
  "@caramba/topology": own,
  "@caramba/tensor": tensor,
  "@caramba/config": config,
};

const examples = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
const printed = [
  [[[2, 10, 32]], ["layers.0.layers.1.q_proj.weight"], [15]],
  [[[2, 10, 32]], ["nodes.norm.weight"]],
];

it("the README's examples run", async () => {
  tensor.setDefaultBackend(new tensor.ReferenceBackend());
  expect(await Promise.all(examples.map(run))).toEqual(printed);
});

async function run(example: string): Promise<unknown[][]> {
  const body = example.replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = modules[$2];");
  const lines: unknown[][] = [];
  const log = (...values: unknown[]): void => void lines.push(values);
  await new Function("modules", "console", `return (async () => {${body}})()`)(modules, { log });
  return lines;
}
