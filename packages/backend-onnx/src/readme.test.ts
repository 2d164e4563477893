// The README's example runs as it is printed.
import { readFileSync } from "node:fs";
import * as tensor from "@caramba/tensor";
import { expect, test } from "vitest";
import * as onnx from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

test("the README's example runs and learns", async () => {
  const [example = ""] = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);
  const body = example
    .replace(/import (\{[^}]*\}) from "@caramba\/tensor";/, "const $1 = tensor;")
    .replace(/import (\{[^}]*\}) from "@caramba\/backend-onnx";/, "const $1 = onnx;");
  const lines: number[] = [];
  await new Function("tensor", "onnx", "console", `return (async () => {${body}})()`)(tensor, onnx, {
    log: (value: number) => lines.push(value),
  });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toBeLessThan(1e-6);
});
