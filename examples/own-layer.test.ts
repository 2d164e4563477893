// The example as a user runs it: a manifest whose layer comes from a module of one's own, compiled, trained and read
// back by the command line.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { modelConfig } from "@caramba/config";
import { buildModel, parameterCount } from "@caramba/model";
import { compile, input, ReferenceBackend } from "@caramba/tensor";
import { afterAll, expect, it } from "vitest";
import { LayerScale } from "./own-layer.ts";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "caramba-own-layer-"));
afterAll(() => rm(folder, { recursive: true }));

const call = promisify(execFile);
const caramba = (...args: string[]) =>
  call(process.execPath, [here("../packages/cli/bin/caramba.js"), ...args], { cwd: folder, encoding: "utf8" });

it("computes what it says, inside a model and by itself", async () => {
  const layer = new LayerScale({ dModel: 3, initial: 0.5 });
  const program = await compile(
    { outputs: { y: layer.forward(input("x", [1, 1, 3])) } },
    { backend: new ReferenceBackend() },
  );
  expect([...((await program.read({ x: Float32Array.of(2, -4, 8) }))["y"] as Float32Array)]).toEqual([1, -2, 4]);
  const topology = { type: "StackedTopology", layers: [{ type: "acme/LayerScale", dModel: 8 }] } as const;
  const model = buildModel(modelConfig({ embedder: { type: "token", vocabSize: 16, dModel: 8 }, topology }));
  expect(parameterCount(model)).toBe(16 * 8 + 8);
  expect([...model.variables().keys()]).toContain("topology.layers.0.scale");
});

it("a manifest without its module is told what is missing", async () => {
  const failed = await caramba("compile", here("own-layer.yml")).catch((error: { stderr: string }) => error.stderr);
  expect(failed).toMatch(/own-layer\.yml:\d+:\d+: .*found "acme\/LayerScale".*--import/);
});

it("compiles, trains, and is read back with its module", { timeout: 60_000 }, async () => {
  const module = ["--import", here("dist/own-layer.js")];
  const plan = await caramba("compile", here("own-layer.yml"), "--print-plan", ...module);
  expect(plan.stdout).toContain("layer=acme/LayerScale initial=0.2");
  await caramba(
    "prepare",
    "--input",
    here("../README.md"),
    "--output",
    "runs/own-layer/tokens.npy",
    "--vocab-size",
    "512",
  );
  const { stdout } = await caramba("run", here("own-layer.yml"), "--json", ...module);
  expect(JSON.parse(stdout.trim().split("\n").at(-1) as string)).toMatchObject({ ok: true });
  const checkpoint = "runs/own-layer/train/run_standard_final.safetensors";
  const text = await caramba("generate", checkpoint, "--prompt", "The ", "--max-new-tokens", "4", "--json", ...module);
  expect(JSON.parse(text.stdout.trim().split("\n").at(-1) as string)).toMatchObject({ ok: true, tokens: 4 });
});
