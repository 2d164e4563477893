// Models that cannot be used, as commands tell of them: weights that are not numbers, with their tensor's name, before
// anything is trained or written; and checkpoints whose stated model is made to fill the memory.
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openModel } from "@caramba/experiment";
import { openSafetensors, type TensorData, writeCheckpoint, writeSafetensors } from "@caramba/loader";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../test-support/run-cli.ts";
import { tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";

const parity = fileURLToPath(new URL("../../../fixtures/loader/parity/", import.meta.url));
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-hostile-models-"));
  await tinyTokens(root);
});
afterAll(() => rm(root, { recursive: true }));

const state = (modelConfig: unknown) => ({
  ...{ runId: "base", phase: "standard", step: 3, globalStep: 3, blockIndex: null, blockStep: null, final: true },
  ...{ modelConfig, tokenizer: "byte", seed: 1, dataHash: null, schedule: null },
});

/** smollm2, whose vocabulary is bytes, as a folder and as a checkpoint, with one value of one weight replaced. */
async function broken(value: number): Promise<{ folder: string; checkpoint: string; name: string; path: string }> {
  const place = await mkdtemp(join(root, "broken-"));
  const folder = join(place, "folder");
  await cp(join(parity, "smollm2"), folder, { recursive: true });
  const { model } = await openModel(folder, null);
  const tensors: Record<string, TensorData> = {};
  const path = [...model.variables().keys()].find((found) => found.endsWith("q_proj.weight")) as string;
  for (const [key, variable] of model.variables()) {
    const data = ((await variable.read()) as Float32Array).slice();
    if (key === path) data[7] = value;
    tensors[key] = { dtype: "F32", shape: variable.shape, data };
  }
  const checkpoint = join(place, "checkpoint.safetensors");
  await writeCheckpoint(checkpoint, { state: state(model.config), model: tensors });
  const file = await openSafetensors(join(folder, "model.safetensors"));
  const name = "model.layers.0.self_attn.q_proj.weight";
  const theirs: Record<string, TensorData> = {};
  for (const found of file.names) theirs[found] = await file.read(found);
  await file.close();
  ((theirs[name] as TensorData).data as Float32Array)[7] = value;
  await writeSafetensors(join(folder, "model.safetensors"), theirs);
  return { folder, checkpoint, name, path };
}

describe.each([
  [Number.NaN, "1 NaN, 0 infinite"],
  [Number.NEGATIVE_INFINITY, "0 NaN, 1 infinite"],
])("a weight that is %d", (value, counted) => {
  it("is told by its tensor's name, of a folder and of a checkpoint, by every command that takes a model", async () => {
    const { folder, checkpoint, name, path } = await broken(value);
    const output = join(root, "never");
    for (const [model, tensor] of [
      [folder, name],
      [checkpoint, path],
    ] as const) {
      const manifest = join(root, "convert.yml");
      const text = tinyManifest({ folder: root, benchmarks: false });
      await writeFile(manifest, text.replace(/teacher_ckpt: .*/g, `teacher_ckpt: ${JSON.stringify(model)}`));
      for (const args of [
        ["run", manifest, "--target", "dba", "--runs-dir", join(root, "runs")],
        ["generate", model, "--prompt", "a", "--tokenizer", "byte"],
        ["export", model, "--format", "hf", "--output", output],
        ["export", model, "--format", "onnx", "--output", output],
      ]) {
        const { code, err } = await runCli(...args, ...(args[0] === "export" ? [] : ["--device", "onnx"]));
        expect({ code, err }, args.join(" ")).toEqual({
          code: 1,
          err: expect.stringMatching(/tensors with values that are not finite \(1\)/),
        });
        expect(err).toContain(`${tensor} (${counted}, of `);
        expect(err).not.toMatch(/\n\s+at /);
      }
    }
    await expect(readdir(output)).rejects.toThrow(/ENOENT/);
    const runs = await readdir(join(root, "runs"), { recursive: true }).catch(() => []);
    expect(runs.filter((file) => file.endsWith(".safetensors"))).toEqual([]);
  }, 60_000);
});

describe("a checkpoint whose model", () => {
  const norm = { type: "RMSNormLayer", dModel: 8 };
  const embedder = { type: "token", vocabSize: 257, dModel: 8 };
  const stack = (...layers: object[]) => ({ embedder, topology: { type: "StackedTopology", layers } });
  it.each<[string, unknown, RegExp]>([
    [
      "has a million layers and no weights",
      stack({ type: "NestedTopology", repeat: 999_000, layers: [norm] }),
      /has 999002 nodes after repeat is expanded, for 0 tensors/,
    ],
    [
      "has more layers than a number",
      stack({ type: "NestedTopology", repeat: 1e12, layers: [norm] }),
      /at most 1000000 nodes|repeat/,
    ],
    [
      "is as wide as no memory",
      stack({ type: "LinearLayer", dIn: 8, dOut: 1e15 }, { type: "LinearLayer", dIn: 1e15, dOut: 8 }),
      /does not fit the model: missing/,
    ],
    [
      "has a vocabulary beyond any memory",
      { ...stack(norm), embedder: { ...embedder, vocabSize: 2 ** 40 } },
      /does not fit the model: missing/,
    ],
    ["is null", null, /its model is not an object/],
    ["is a list", [], /its model is not an object/],
    ["is of no type", { type: "Nope" }, /its model is not valid/],
    ["has a key __proto__", JSON.parse('{"__proto__":{"topology":1}}'), /its model is not valid/],
  ])("%s is refused at once", async (_, config, message) => {
    const path = join(await mkdtemp(join(root, "stated-")), "c.safetensors");
    await writeCheckpoint(path, { state: state(config), model: {} });
    const started = performance.now();
    const before = process.memoryUsage().rss;
    const { code, err } = await runCli("generate", path, "--prompt", "a", "--device", "onnx");
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(message) });
    expect(err).toContain(path);
    expect(err).toMatch(/\n {2}-> /);
    expect(err).not.toMatch(/\n\s+at |bug in caramba/);
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(500e6);
  });

  it("is of a later version says to update", async () => {
    const path = join(root, "later.safetensors");
    const metadata = { format: "caramba-checkpoint", version: "2", state: "{}" };
    await writeSafetensors(path, {}, { metadata });
    const { code, err } = await runCli("generate", path, "--prompt", "a");
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/checkpoint version 2; this Caramba reads/) });
    expect(err).toMatch(/-> .*update Caramba/);
    expect((await readFile(path)).length).toBeGreaterThan(0);
  });
});
