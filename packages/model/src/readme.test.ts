// The README's example runs as it is printed.
import { readFileSync } from "node:fs";

import * as tensor from "@caramba/tensor";
import { expect, it } from "vitest";
import * as own from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const modules: Record<string, unknown> = { "@caramba/model": own, "@caramba/tensor": tensor };

it("the README's example runs", async () => {
  tensor.setDefaultBackend(new tensor.ReferenceBackend());
  const [example = ""] = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);
  const body = example.replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = modules[$2];");
  const lines: unknown[][] = [];
  const log = (...values: unknown[]): void => void lines.push(values);
  await new Function("modules", "console", `return (async () => {${body}})()`)(modules, { log });
  expect(lines).toEqual([
    [[1, 7, 100]],
    ["parameters", expect.any(Number)],
    ["cache bytes per token", 512],
    ["FLOP per token at context 128", expect.any(Number)],
    ["", "TransformerModel", "[B, T, 100]"],
    ["embedder", "TokenEmbedder", "[B, T, 64]"],
    ["topology", "StackedTopology", "[B, T, 64]"],
    [["topology.layers.0.layers.0.layers.1", "topology.layers.0.layers.1.layers.1"]],
    [[1, 7, 64]],
  ]);
});
