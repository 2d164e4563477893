// Every preset that is small enough is trained for a few steps on this repository's own documentation, through the code
// that runs the large ones.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Plan, parseManifestOrThrow, presets, resolvedManifest } from "@caramba/config";
import { ByteTokenizer, collectText, prepareTokens } from "@caramba/data";
import { type ExperimentEvent, runExperiment } from "@caramba/experiment";
import { claimFolder } from "@caramba/files";
import { kvBytesPerToken } from "@caramba/model";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

let folder: string;
let tokens: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-tiny-"));
  tokens = join(folder, "tokens.npy");
  const documents = await collectText({ inputs: [fileURLToPath(new URL("../../../docs", import.meta.url))] });
  await prepareTokens({ documents, tokenizer: new ByteTokenizer(), output: tokens });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Numbers cached per token and layer: keys and values of width 128, of 2 of 4 heads, of width 64, and 16 + 32 + 64. */
const cached = { baseline: 2 * 128, gqa: 2 * 2 * 32, bottleneck: 2 * 64, decoupled: 16 + 32 + 64 } as const;

/** The preset, with this text and so many steps. */
function shortened(name: string, steps: number): string {
  const set = [`targets[0].data.config.path=${JSON.stringify(tokens)}`, `targets[0].runs[0].steps=${steps}`];
  const { plan }: { plan: Plan } = parseManifestOrThrow(presets[name] ?? "", { set });
  return JSON.stringify(resolvedManifest(plan));
}

describe.each(Object.entries(cached))("tiny_%s", (arm, numbers) => {
  it("learns from text, and leaves its checkpoint, its curve and its report", async () => {
    const name = `tiny_${arm}`;
    const losses: number[] = [];
    const onEvent = (event: ExperimentEvent): void => {
      if (event.type === "train") losses.push(event.event.loss);
    };
    const { status, targets } = await runExperiment({
      manifest: shortened(name, 25),
      manifestPath: join(folder, "manifest.json"),
      device: "onnx",
      threads: 1,
      runsDir: join(folder, "runs"),
      artifactsDir: join(folder, "artifacts"),
      onEvent,
    });
    expect([status, targets.length, losses.length]).toEqual(["finished", 1, 25]);
    // Before it has seen anything a model knows 257 ids alike; text is far from that after a few steps.
    expect(Math.abs((losses[0] ?? 0) - Math.log(257))).toBeLessThan(0.5);
    expect(losses.slice(-3).reduce((a, b) => a + b) / 3).toBeLessThan((losses[0] ?? 0) - 1);
    const [target] = targets;
    expect(target && kvBytesPerToken(target.student, "fp16")).toBe(2 * 2 * numbers);

    const run = join(folder, "runs", name, "train");
    expect(await readdir(run)).toEqual(expect.arrayContaining(["train.jsonl", "train_standard_final.safetensors"]));
    expect((await readFile(join(run, "train.jsonl"), "utf8")).trimEnd().split("\n")).toHaveLength(25);
    const report = target?.artifacts ?? "";
    expect(await readdir(report)).toEqual(expect.arrayContaining(["report.json", "perplexity.csv", "tables.tex"]));
    const [head = "", row = ""] = (await readFile(join(report, "perplexity.csv"), "utf8")).split("\n");
    const value = (column: string): number => Number(row.split(",")[head.split(",").indexOf(column)]);
    expect(value("perplexity")).toBeCloseTo(Math.exp(value("cross_entropy")), 1);
    expect(value("perplexity")).toBeLessThan(100);
  }, 60_000);
});

it("a target's folder is for one run at a time", async () => {
  const runsDir = join(folder, "claimed");
  const release = await claimFolder(join(runsDir, "tiny_baseline", "train"));
  const run = (): Promise<unknown> =>
    runExperiment({
      manifest: shortened("tiny_baseline", 1),
      manifestPath: join(folder, "manifest.json"),
      ...{ device: "onnx", threads: 1, runsDir, artifactsDir: join(folder, "artifacts") },
    });
  await expect(run()).rejects.toMatchObject({
    code: "folder-in-use",
    message: expect.stringContaining(`process ${process.pid} is at work in this folder`),
  });
  await release();
  expect(await readdir(join(runsDir, "tiny_baseline", "train"))).toEqual([]);
});
