// caramba init, and models resized to a target, counted from the built modules.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { modelParameters, parseManifestOrThrow, presets } from "@caramba/config";
import { Model, parameterCount } from "@caramba/model";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCli } from "../../test-support/run-cli.ts";
import type { TargetCosts } from "./costs.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-init-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function parameters(...args: string[]): Promise<number[]> {
  const { code, out, err } = await runCli("compile", ...args, "--json");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return (JSON.parse(out) as { costs: TargetCosts[] }).costs.map((cost) => cost.parameters);
}

it.each([
  ["1M", 1e6],
  ["10M", 1e7],
  ["2.5e7", 2.5e7],
  ["1B", 1e9],
])("init --params %s writes a manifest of that size that compiles", async (text, target) => {
  const file = join(root, `${text}.yml`);
  expect(await runCli("init", "--params", text, "--output", file)).toMatchObject({ code: 0, err: "" });
  const [count] = await parameters(file);
  expect(Math.abs((count as number) / target - 1)).toBeLessThanOrEqual(0.1);
  expect(await runCli("init", "--params", text, "--output", file)).toMatchObject({
    code: 1,
    err: expect.stringContaining("exists already"),
  });
});

it("what it measures has the length that it trains at", async () => {
  const file = join(root, "short.yml");
  await runCli("init", "--params", "1M", "--block-size", "64", "--output", file);
  const [target] = parseManifestOrThrow(await readFile(file, "utf8")).plan.targets;
  expect(target?.runs.map(({ train }) => train?.blockSize)).toEqual([64]);
  expect(target?.benchmarks.map(({ config }) => config)).toMatchObject([{ type: "perplexity", blockSize: 64 }]);
});

it("a vocabulary that exceeds the budget is an error with its size", async () => {
  const args = ["init", "--params", "1M", "--vocab-size", "128256", "--output", join(root, "no.yml")];
  expect(await runCli(...args)).toMatchObject({ code: 1, err: expect.stringContaining("4104192") });
});

it.each([["ten"], ["-1M"], ["0"], ["1X"]])("--params %s is a misuse", async (text) => {
  const code = (await runCli("init", `--params=${text}`, "--output", join(root, "no.yml"))).code;
  expect(code).toBe(2);
});

it("--target-params resizes every target", async () => {
  for (const count of await parameters("quickstart", "--target-params", "20M"))
    expect(Math.abs(count / 2e7 - 1)).toBeLessThanOrEqual(0.1);
});

it.each(Object.entries(presets))("%s: the closed form counts what the built model holds", (name, text) => {
  for (const { model } of parseManifestOrThrow(text, { file: `${name}.yml` }).plan.targets)
    expect(modelParameters(model)).toBe(parameterCount(new Model(model)));
});
