// A disk that fills up: while a checkpoint, a token file or the artifacts are written. The command runs as a process on
// a small disk of its own (a tmpfs in a private mount namespace, or a limit on the size of files where that is not
// allowed), and the disk is listed afterwards: whatever is there is whole.
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "@caramba/loader";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bin, type CliOutcome, runCli, spawnText } from "../test-support/run-cli.ts";
import { tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";

const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;
const canMount = works("unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /tmp");
const canLimit = works("bash", "-c", "ulimit -f 100");
const method = canMount ? "mount" : canLimit ? "limit" : null;
if (method === null) console.warn("SKIPPED disk-full tests: neither unshare nor bash's ulimit works here");

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-disk-full-"));
  await tinyTokens(root);
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Runs caramba with a disk of `kib` KiB at `disk`, which `setup` fills first; then copies what is on it to `<disk>.after`. */
async function onSmallDisk(kib: number, disk: string, args: string[], setup = "true"): Promise<CliOutcome> {
  await mkdir(disk, { recursive: true });
  const command = [process.execPath, bin, ...args].map(quote).join(" ");
  const keep = `code=$?; cp -r ${quote(disk)} ${quote(`${disk}.after`)}; exit $code`;
  if (method === "mount") {
    const script = `mount -t tmpfs -o size=${kib}k tmpfs ${quote(disk)} && ${setup} && ${command}; ${keep}`;
    return spawnText("unshare", ["-rm", "bash", "-c", script]);
  }
  return spawnText("bash", [
    "-c",
    `${setup}; ulimit -S -f ${kib}; ${command}; code=$?; ulimit -S -f unlimited; (exit $code); ${keep}`,
  ]);
}

function expectDiskFull({ code, err }: CliOutcome, place: RegExp): void {
  expect(err).toMatch(/the disk is full|larger than allowed|file too large/);
  expect(err).toMatch(place);
  expect(err.match(/error:/gi)).toHaveLength(1);
  expect(err).toMatch(/\n {2}-> .*free|\n {2}-> .*limit/i);
  expect(err).not.toMatch(/\n\s+at /);
  expect(code).toBe(1);
}

async function listed(folder: string): Promise<string[]> {
  const { stdout } = spawnSync("find", [folder, "-type", "f"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line !== "");
}

describe.skipIf(method === null)("a full disk", () => {
  it("while checkpoints are written: no half checkpoint, and the last whole one is gone on from", async () => {
    const disk = join(root, "checkpoints");
    const manifest = join(root, "training.yml");
    // About 300 KiB a checkpoint with its optimizer: the second or third does not fit.
    const text = tinyManifest({ folder: root, benchmarks: false, teacherSteps: 8, saveEvery: 1 });
    await writeFile(manifest, text);
    const kib = method === "mount" ? 800 : 100;
    const broken = await onSmallDisk(kib, disk, [
      "run",
      manifest,
      "--runs-dir",
      join(disk, "runs"),
      "--threads",
      "1",
      "--device",
      "onnx",
    ]);
    expectDiskFull(broken, /base_standard/);
    const left = await listed(`${disk}.after`);
    expect(left.filter((name) => name.endsWith(".tmp") || name.includes("final"))).toEqual([]);
    const checkpoints = left.filter((name) => name.endsWith(".safetensors"));
    if (method === "mount") expect(checkpoints.length).toBeGreaterThan(0);
    for (const path of checkpoints) await (await openCheckpoint(path)).close();
    const again = await runCli(
      "run",
      manifest,
      "--runs-dir",
      join(`${disk}.after`, "runs"),
      "--threads",
      "1",
      "--device",
      "onnx",
    );
    expect(again).toMatchObject({ code: 0 });
    if (method === "mount") expect(again.err).toMatch(/resumed from step \d/);
  });

  it("while a token file is written: nothing under its name", async () => {
    const disk = join(root, "tokens");
    const input = join(root, "long.md");
    await writeFile(input, Array.from({ length: 20_000 }, (_, n) => `line ${n} of ${n * 7919}\n`).join(""));
    const output = join(disk, "tokens.npy");
    const tokenizer = join(root, "tokenizer.json");
    const short = join(root, "short.md");
    await writeFile(short, "line 1 of 2\n".repeat(100));
    await runCli("prepare", "--input", short, "--output", join(root, "short.npy"), "--vocab-size", "300");
    const broken = await onSmallDisk(100, disk, [
      "prepare",
      "--input",
      input,
      "--tokenizer",
      tokenizer,
      "--output",
      output,
    ]);
    expectDiskFull(broken, /tokens\.npy/);
    expect(await listed(`${disk}.after`)).toEqual([]);
  });

  it.each([
    ["hf", ["--format", "hf", "--tokenizer", "byte"], /model\.safetensors/, "config.json"],
    ["hf in shards", ["--format", "hf", "--max-shard-size", "24KB"], /model-0000\d-of/, "config.json"],
    ["onnx", ["--format", "onnx"], /model\.onnx\.data/, "model.onnx"],
  ])(
    "while a model is exported as %s over an earlier export: nothing that looks whole",
    async (name, args, place, mark) => {
      const disk = join(root, `export-${name.replaceAll(" ", "-")}`);
      const model = fileURLToPath(new URL("../../../fixtures/loader/parity/smollm2", import.meta.url));
      // An earlier export of a smaller model fits; the larger one does not.
      const small = join(root, `small-${name.replaceAll(" ", "-")}`);
      const tied = fileURLToPath(new URL("../../../fixtures/loader/llama-tied", import.meta.url));
      const format = args.slice(0, 2);
      expect(await runCli("export", tied, "--output", small, ...format)).toMatchObject({ code: 0 });
      const output = join(disk, "out");
      // A limit holds for each file, a mounted disk for all.
      const kib = method === "mount" ? 60 : 16;
      const broken = await onSmallDisk(
        kib,
        disk,
        ["export", model, "--output", output, ...args],
        `cp -r ${quote(small)} ${quote(output)}`,
      );
      expectDiskFull(broken, place);
      const left = (await listed(`${disk}.after`)).map((path) => basename(path));
      expect(left).not.toContain(mark);
      expect(left.filter((file) => file.endsWith(".tmp"))).toEqual([]);
    },
  );

  it("while artifacts are written: no artifacts folder, and the checkpoints stay", async () => {
    const disk = join(root, "artifacts");
    const manifest = join(root, "whole.yml");
    const whole = { folder: join(root, "whole"), tokens: join(root, "tokens.npy"), teacherSteps: 4 };
    const places = ["--all", "--runs-dir", join(root, "whole", "runs"), "--threads", "1", "--device", "onnx"];
    // Trained beforehand, so that only the artifacts are left to be written.
    await writeFile(manifest, tinyManifest({ ...whole, benchmarks: false }));
    expect(await runCli("run", manifest, ...places)).toMatchObject({ code: 0 });
    await writeFile(manifest, tinyManifest(whole));
    const args = ["run", manifest, ...places, "--artifacts-dir", disk];
    const broken = await onSmallDisk(method === "mount" ? 24 : 8, disk, args);
    expectDiskFull(broken, /artifacts/);
    expect(await listed(`${disk}.after`)).toEqual([]);
    expect((await readFile(join(root, "whole/runs/tiny/dba/whole_global_final.safetensors"))).length).toBeGreaterThan(
      0,
    );
  });
});
