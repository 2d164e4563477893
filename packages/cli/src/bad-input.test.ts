// Bad input: every mistake ends with one message that names the place and the remedy, exit code 1, and no half-written
// file. Each case first states what it breaks; the unbroken manifest is the control.
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliOutcome, runCli } from "../test-support/run-cli.ts";
import { type TinyOptions, tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";

let root: string;
let folder: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-bad-input-"));
  folder = join(root, "good");
  await mkdir(folder);
  await tinyTokens(folder);
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Runs a manifest in a folder of its own; the token file is shared. */
async function run(text: string, at?: string, ...args: string[]): Promise<CliOutcome & { at: string }> {
  const here = at ?? join(root, `case-${count++}`);
  await mkdir(here, { recursive: true });
  const path = join(here, "manifest.yml");
  await writeFile(path, text);
  const places = ["--runs-dir", join(here, "runs"), "--artifacts-dir", join(here, "artifacts"), "--threads", "1"];
  return {
    ...(await runCli("run", path, ...places, ...(args.includes("--device") ? [] : ["--device", "onnx"]), ...args)),
    at: here,
  };
}

const manifest = (changes: Partial<TinyOptions> = {}): string =>
  tinyManifest({ folder, benchmarks: false, teacherSteps: 4, ...changes });

/** One error, with a remedy below it, and nothing else: no stack, no second error. */
function expectOneMessage({ code, err }: CliOutcome, ...parts: (string | RegExp)[]): void {
  if (process.env["SHOW_MESSAGES"]) console.log(err);
  for (const part of parts) expect(err).toMatch(part);
  expect(code).toBe(1);
  expect(err.match(/error:/gi)).toHaveLength(1);
  expect(err).toMatch(/\n {2}-> .+\n$/);
  expect(err).not.toMatch(/\n\s+at .*\(/);
  expect(err).not.toMatch(/internal error/);
}

/** Files below a folder, temporary ones included. */
async function files(at: string): Promise<string[]> {
  const found = await readdir(at, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

it("control: the manifest that the cases break is fine", async () => {
  expect(await run(manifest())).toMatchObject({ code: 0 });
});

describe("manifest", () => {
  it("that is not there", async () => {
    expectOneMessage(
      await runCli("run", join(root, "none.yml")),
      /there is no manifest .*none\.yml/,
      /caramba presets/,
    );
  });
  it("that is a folder", async () => {
    expectOneMessage(await runCli("run", root), root);
  });
  it.each([
    ["Latin-1", Buffer.from("version: 2\nname: caf\u00e9\n", "latin1"), /:2:10: expected text in UTF-8/],
    ["UTF-16", Buffer.from("\ufeffversion: 2\n", "utf16le"), /expected text in UTF-8, found UTF-16/],
  ])("in %s", async (name, bytes, message) => {
    const path = join(root, `${name}.yml`);
    await writeFile(path, bytes);
    expectOneMessage(await runCli("compile", path), message, /save the manifest as UTF-8/);
  });
  it.each([
    ["broken YAML", (text: string) => text.replace("targets:\n", "targets: [\n"), /manifest\.yml:\d+:\d+: /],
    ["an unknown key", (text: string) => text.replace("warmup_steps", "warmup_step"), /warmup_steps/],
    ["a wrong type", (text: string) => text.replace("lr: 0.003", "lr: fast"), /manifest\.yml:\d+:\d+: .*\.lr: /],
    ["no targets", () => "version: 2\nname: x\ntargets: []\n", /manifest\.yml/],
    ["nothing", () => "", /manifest\.yml/],
    ["binary", () => "\u0000\u0001\u0002", /manifest\.yml/],
  ])("with %s", async (_, change, message) => {
    const broken = await run(change(manifest()));
    expectOneMessage(broken, message);
    expect(await files(broken.at)).toEqual(["manifest.yml"]);
  });
  it("without the target that is asked for", async () => {
    expectOneMessage(await run(manifest(), undefined, "--target", "teecher"), /teecher/, /teacher/);
  });
});

describe("text", () => {
  it("that is not there", async () => {
    const broken = await run(manifest({ tokens: join(root, "no-tokens.npy") }));
    expectOneMessage(broken, /no-tokens\.npy does not exist/, /caramba prepare/);
    expect(await files(broken.at)).toEqual(["manifest.yml"]);
  });
  it("too short for its block size", async () => {
    const tokens = await tinyTokens(root, { bytes: 100, name: "short.npy" });
    const broken = await run(manifest({ tokens, blockSize: 64 }));
    expectOneMessage(broken, /short\.npy .*10 tokens.* block_size 64, which needs 65/);
    expect(await files(broken.at)).toEqual(["manifest.yml"]);
  });
  it("made with a larger vocabulary", async () => {
    const broken = await run(manifest({ vocabSize: 200 }));
    expectOneMessage(broken, /tokens\.npy was made with a vocabulary of 257, the model has 200/, /vocab_size/);
  });
  it("with ids beyond the vocabulary, and no word of where it came from", async () => {
    const tokens = join(root, "bare.npy");
    await cp(join(folder, "tokens.npy"), tokens);
    const broken = await run(manifest({ tokens, vocabSize: 121 }));
    expectOneMessage(broken, /bare\.npy/, /token 37 has id 122/);
    expect(await files(broken.at)).toEqual(["manifest.yml"]);
  });
  it("that is no token file", async () => {
    const tokens = join(root, "text.npy");
    await writeFile(tokens, "just words");
    expectOneMessage(await run(manifest({ tokens })), /text\.npy/);
  });
  it("cut short", async () => {
    const tokens = join(root, "cut.npy");
    await cp(join(folder, "tokens.npy"), tokens);
    await truncate(tokens, 2000);
    expectOneMessage(await run(manifest({ tokens })), /cut\.npy/);
  });
  it("whose tokenizer is not there", async () => {
    const broken = await run(manifest({ tokenizer: join(root, "gone", "tokenizer.json") }));
    expectOneMessage(broken, /no such tokenizer file: .*gone\/tokenizer\.json/);
    expect(await files(broken.at)).toEqual(["manifest.yml"]);
  });
  it("made with another tokenizer", async () => {
    const text = join(root, "text.md");
    await writeFile(text, "some words to learn a tokenizer from, again and again and again\n".repeat(50));
    const output = join(root, "bpe", "other.npy");
    expect(await runCli("prepare", "--input", text, "--output", output, "--vocab-size", "300")).toMatchObject({
      code: 0,
    });
    const broken = await run(manifest({ tokens: output, vocabSize: 400 }));
    expectOneMessage(broken, /other\.npy was made with another tokenizer than byte/);
  });
});

describe("what is only needed after training is looked for before", () => {
  it.each([
    [
      "a benchmark's window longer than the text",
      "perplexity, block_size: 16",
      "perplexity, block_size: 4000",
      /benchmark "quality": .*block_size 4000/,
    ],
    [
      "a benchmark's token file",
      "perplexity, block_size: 16",
      "perplexity, dataset: gone.npy, block_size: 16",
      /benchmark "quality": .*gone\.npy/,
    ],
    [
      "a benchmark's checkpoint",
      "type: memory,",
      "type: memory, checkpoint: gone.safetensors,",
      /benchmark "memory": .*gone\.safetensors/,
    ],
    ["held-out text for a verification", "val_frac: 0.1", "val_frac: 0", /run "whole", verify: .*no val part/],
  ])("%s", async (_, good, bad, message) => {
    const at = join(root, "late");
    await run(manifest(), at);
    const text = tinyManifest({ folder: at, tokens: join(folder, "tokens.npy"), teacherSteps: 4 }).replace(good, bad);
    const broken = await run(text, at, "--target", "dba");
    expectOneMessage(broken, message);
    expect(broken.err).not.toContain("[dba] build");
  });
});

describe("checkpoint", () => {
  it("of a teacher that is not there", async () => {
    const broken = await run(manifest(), undefined, "--target", "dba");
    expectOneMessage(broken, /base_standard_final\.safetensors does not exist/, /--all/);
    expect(await files(broken.at)).toEqual(["manifest.yml"]);
  });
  it("of a teacher that is cut short", async () => {
    const at = join(root, "cut-teacher");
    const text = tinyManifest({ folder: at, benchmarks: false, teacherSteps: 4, tokens: join(folder, "tokens.npy") });
    expect(await run(text, at)).toMatchObject({ code: 0 });
    const teacher = join(at, "runs", "tiny", "teacher", "base_standard_final.safetensors");
    await truncate(teacher, 5000);
    expectOneMessage(await run(text, at, "--target", "dba"), /base_standard_final\.safetensors/);
  });
  it("cut short, on resume: names it and says what is gone on from without it", async () => {
    const at = join(root, "cut-latest");
    const text = manifest({ teacherSteps: 6, saveEvery: 2 });
    expect(await run(text, at)).toMatchObject({ code: 0 });
    const checkpoints = join(at, "runs", "tiny", "teacher");
    await rm(join(checkpoints, "base_standard_final.safetensors"));
    const latest = (await readdir(checkpoints)).filter((name) => name.endsWith(".safetensors")).sort();
    expect(latest).toHaveLength(2);
    const path = join(checkpoints, latest[1] as string);
    await truncate(path, 3000);
    const broken = await run(text, at);
    expectOneMessage(broken, path, new RegExp(`Delete .*${latest[1]} to resume from ${latest[0]}`));
    await rm(path);
    expect(await run(text, at)).toMatchObject({ code: 0, err: expect.stringContaining("resumed from step 2") });
  });
  it("of other settings", async () => {
    const at = join(root, "other-settings");
    expect(await run(manifest(), at)).toMatchObject({ code: 0 });
    const before = await files(at);
    expectOneMessage(await run(manifest({ lr: 0.1 }), at), /cannot be resumed: its settings are others/, /delete it/);
    expect(await files(at)).toEqual(before);
  });
});

describe("training", () => {
  it("that diverges stops at the step and keeps the last good checkpoint", async () => {
    const broken = await run(manifest({ lr: 1e30, teacherSteps: 40, saveEvery: 1 }));
    expectOneMessage(broken, /base/, /step/, /lr/);
    const left = await files(broken.at);
    expect(left.filter((name) => name.includes("final") || name.endsWith(".tmp"))).toEqual([]);
  });
});

describe("a model", () => {
  it("larger than the machine's memory", async () => {
    const broken = await run(manifest().replaceAll("d_ff: 64", "d_ff: 4000000000"));
    expectOneMessage(broken, /target "teacher": the weights alone take [\d.]+ GiB/);
  });
});

describe("settings that are not built yet", () => {
  it.each([
    ["use_amp: true", /amp_dtype float16/],
    ["auto_batch_size: true", /auto_batch_size/],
    ["dtype: bfloat16", /dtype bfloat16/],
    ["distributed_strategy: ddp", /distributed_strategy/],
  ])("%s", async (train, message) => {
    const broken = await run(manifest({ train }));
    expectOneMessage(
      broken,
      message,
      /manifest\.yml:\d+:\d+: targets\[0\]\.runs\[0\]\.train/,
      /\^/,
      /not supported yet/,
    );
    expect(await files(broken.at)).toEqual(["manifest.yml"]);
  });
  it.each([
    ["wandb", "eval_iters: 6", "eval_iters: 6, wandb: true", /nothing is sent to Weights & Biases/],
    [
      "use_amp",
      "dtype: float32",
      "use_amp: true\n          amp_dtype: auto",
      /use_amp is true, but auto resolves to float32/,
    ],
    ["dtype", "dtype: float32", "dtype: auto", /dtype auto resolves to float32/],
    ["num_workers", "dtype: float32", "num_workers: 4", /num_workers describe other engines and change nothing here/],
  ])("%s: accepted, and said to change nothing, in plan and log", async (_, from, to, notice) => {
    const text = manifest().includes(from) ? manifest() : manifest({ train: from });
    const at = join(root, `case-${count++}`);
    const { code, err } = await run(text.replace(from, to), at);
    expect(code).toBe(0);
    expect(err).toMatch(notice);
    expect(await runCli("compile", join(at, "manifest.yml"))).toMatchObject({
      code: 0,
      out: expect.stringMatching(new RegExp(`notice: .*${notice.source}`)),
    });
  });
});

describe("device", () => {
  it("that is not there", async () => {
    expectOneMessage(await run(manifest(), undefined, "--device", "onnx:cuda"), /cuda/i, /onnx:cpu/);
  });
  it("that does not exist", async () => {
    expectOneMessage(await run(manifest(), undefined, "--device", "quantum"), /there is no device "quantum"/);
    // What manifests and older documents call it is one.
    expect(await run(manifest(), undefined, "--device", "cpu")).toMatchObject({ code: 0 });
  });
});

describe("generate", () => {
  it("from a checkpoint that is not there", async () => {
    expectOneMessage(await runCli("generate", join(root, "no.safetensors"), "--prompt", "x"), /no\.safetensors/);
  });
  it("from a file that is no checkpoint", async () => {
    const path = join(root, "words.safetensors");
    await writeFile(path, "words");
    expectOneMessage(await runCli("generate", path, "--prompt", "x"), /words\.safetensors/);
  });
});

describe("prepare", () => {
  it("from files that are not there", async () => {
    const output = join(root, "nothing", "tokens.npy");
    expectOneMessage(await runCli("prepare", "--input", join(root, "nowhere"), "--output", output), /nowhere/);
    expect(existsSync(output)).toBe(false);
  });
  it("beside a tokenizer of something else, which is not replaced", async () => {
    const at = join(root, "model");
    await mkdir(at);
    await cp(join(root, "bpe", "tokenizer.json"), join(at, "tokenizer.json"));
    const before = await readFile(join(at, "tokenizer.json"));
    const input = join(root, "other-words.md");
    await writeFile(input, "quite other words\n".repeat(40));
    const args = ["prepare", "--input", input, "--output", join(at, "tokens.npy")];
    expectOneMessage(await runCli(...args), /tokenizer\.json is there already/, /--tokenizer/);
    expect(await readFile(join(at, "tokenizer.json"))).toEqual(before);
    expect(await runCli(...args, "--tokenizer", join(at, "tokenizer.json"))).toMatchObject({ code: 0 });
  });
  it("to a name that is no .npy", async () => {
    const input = join(root, "input.md");
    await writeFile(input, "words and words\n".repeat(40));
    const output = join(root, "odd", "tokens.bin");
    expectOneMessage(await runCli("prepare", "--input", input, "--output", output), /tokens\.bin must end in \.npy/);
    expect(existsSync(join(root, "odd", "tokenizer.json"))).toBe(false);
  });
});
