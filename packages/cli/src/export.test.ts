// caramba export, from a tiny run to files, and back into the command.
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadTokenizer, trainBpe } from "@caramba/data";
import { openModel, runExperiment } from "@caramba/experiment";
import { openHfModel } from "@caramba/loader";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliOutcome, runCli } from "../test-support/run-cli.ts";
import { tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";

const fixtures = fileURLToPath(new URL("../../../fixtures/", import.meta.url));
let root: string;
let teacher: string;
let student: string;
let count = 0;
const newFolder = (): string => join(root, `out-${count++}`);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-export-"));
  await tinyTokens(root);
  const runsDir = join(root, "runs");
  const manifest = tinyManifest({
    folder: root,
    benchmarks: false,
    teacherSteps: 30,
    blockwiseSteps: 2,
    finetuneSteps: 2,
  });
  await runExperiment({
    manifest,
    all: true,
    device: "onnx",
    threads: 1,
    runsDir,
    artifactsDir: join(root, "artifacts"),
  });
  teacher = join(runsDir, "tiny", "teacher", "base_standard_final.safetensors");
  student = join(runsDir, "tiny", "dba", "whole_global_final.safetensors");
}, 60_000);
afterAll(() => rm(root, { recursive: true, force: true }));

const exported = (checkpoint: string, output: string, ...more: string[]) =>
  runCli("export", checkpoint, "--output", output, ...more);
const generate = (checkpoint: string, ...more: string[]): Promise<CliOutcome> =>
  runCli(
    ...["generate", checkpoint, "--prompt", "the quick", "--max-new-tokens", "12", "--temperature", "0"],
    ...["--device", "onnx", ...more],
  );
const json = async (...path: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(...path), "utf8")) as Record<string, unknown>;

describe("--format hf", () => {
  it.each([
    ["teacher", "llama"],
    ["student", "caramba_dba"],
  ])("%s: a %s folder with its tokenizer, which generates the same", async (which, modelType) => {
    const checkpoint = which === "teacher" ? teacher : student;
    const output = newFolder();
    const { code, out, err } = await exported(checkpoint, output, "--format", "hf");
    expect({ code, listed: out.trimEnd().split("\n").sort() }).toEqual({
      code: 0,
      listed: (await readdir(output)).map((name) => join(output, name)).sort(),
    });
    expect(err.includes("docs/checkpoints.md")).toBe(modelType === "caramba_dba");
    expect((await readdir(output)).sort()).toEqual([
      ...["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
    ]);
    expect(await json(output, "config.json")).toMatchObject({ model_type: modelType, eos_token_id: 256 });
    expect(await json(output, "generation_config.json")).toMatchObject({ eos_token_id: 256 });

    const [before, after] = [(await openModel(checkpoint, null)).model, (await openModel(output, null)).model];
    expect([...after.variables().keys()].sort()).toEqual([...before.variables().keys()].sort());
    for (const [path, variable] of before.variables())
      expect(await after.variables().get(path)?.read(), path).toEqual(await variable.read());
    const text = await generate(checkpoint);
    expect(text).toMatchObject({ code: 0, out: expect.stringMatching(/^the quick./) });
    expect((await generate(output)).out).toBe(text.out);
  });

  it("the tokenizer's file gives the ids of the tokenizer that the run was trained with", async () => {
    const output = newFolder();
    await exported(teacher, output, "--format", "hf");
    const tokenizer = await loadTokenizer(output);
    const text = "naïve <|endoftext|> 日本\n\tx";
    const byte = await loadTokenizer("byte");
    for (const special of [true, false])
      expect([...tokenizer.encode(text, { special })]).toEqual([...byte.encode(text, { special })]);
    expect(tokenizer.eosId).toBe(256);
    expect(await json(output, "tokenizer_config.json")).toEqual({
      clean_up_tokenization_spaces: false,
      eos_token: "<|endoftext|>",
      tokenizer_class: "PreTrainedTokenizerFast",
    });
  });

  it("copies a folder's tokenizer, chat template, ids and generation settings", async () => {
    const source = newFolder();
    await cp(join(fixtures, "loader/parity/smollm2"), source, { recursive: true });
    await rm(join(source, "expected.safetensors"));
    const corpus = await readFile(join(fixtures, "data/corpus.txt"), "utf8");
    await (await trainBpe([corpus], { vocabSize: 300 })).save(join(source, "tokenizer.json"));
    const output = newFolder();
    const refused = await exported(source, output, "--format", "hf");
    expect(refused).toMatchObject({ code: 1, err: expect.stringMatching(/the tokenizer has 300 ids, the model 257/) });
    await expect(readdir(output)).rejects.toThrow(/ENOENT/);

    await rm(join(source, "tokenizer.json"));
    const byteFolder = newFolder();
    await exported(teacher, byteFolder, "--format", "hf");
    const theirs = {
      "tokenizer.json": await readFile(join(byteFolder, "tokenizer.json"), "utf8"),
      "tokenizer_config.json": '{"eos_token":"<|endoftext|>","chat_template":"{{ messages }}"}',
      "special_tokens_map.json": '{"eos_token":"<|endoftext|>"}',
      "chat_template.jinja": "{{ messages }}",
      "generation_config.json": '{"eos_token_id":[256,5],"temperature":0.6}',
    };
    for (const [name, text] of Object.entries(theirs)) await writeFile(join(source, name), text);
    const ids = { bos_token_id: 7, eos_token_id: [256, 5], pad_token_id: 9 };
    await writeFile(join(source, "config.json"), JSON.stringify({ ...(await json(source, "config.json")), ...ids }));
    const { code, err } = await exported(source, output, "--format", "hf", "--dtype", "bfloat16");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    for (const [name, text] of Object.entries(theirs)) expect(await readFile(join(output, name), "utf8")).toBe(text);
    expect(await json(output, "config.json")).toMatchObject({ ...ids, torch_dtype: "bfloat16" });
    // The same from a run's checkpoint: a student with its teacher's files.
    const other = newFolder();
    expect((await exported(student, other, "--format", "hf", "--tokenizer", source)).code).toBe(0);
    for (const [name, text] of Object.entries(theirs)) expect(await readFile(join(other, name), "utf8")).toBe(text);
    expect(await json(other, "config.json")).toMatchObject(ids);
  });

  it("in shards, and over an earlier export", async () => {
    const output = newFolder();
    await exported(teacher, output, "--format", "hf");
    const sharded = await exported(teacher, output, "--format", "hf", "--max-shard-size", "30KB", "--json");
    const { files, modelType } = JSON.parse(sharded.out) as { files: string[]; modelType: string };
    expect(modelType).toBe("llama");
    const shards = (await readdir(output)).filter((name) => name.endsWith(".safetensors"));
    expect(shards.length).toBeGreaterThan(2);
    expect(shards).not.toContain("model.safetensors");
    expect(files.sort()).toEqual((await readdir(output)).map((name) => join(output, name)).sort());
    const index = (await json(output, "model.safetensors.index.json")) as {
      metadata: { total_size: number };
      weight_map: Record<string, string>;
    };
    expect(new Set(Object.values(index.weight_map))).toEqual(new Set(shards));
    const model = await openHfModel(output);
    const numbers = [...model.parameters.values()].map(({ shape }) => shape.reduce((a, b) => a * b, 1));
    await model.close();
    expect(index.metadata.total_size).toBe(4 * numbers.reduce((a, b) => a + b, 0));
    expect((await exported(teacher, output, "--format", "hf")).code).toBe(0);
    expect((await readdir(output)).filter((name) => name.startsWith("model"))).toEqual(["model.safetensors"]);
  });

  it("never over the folder that it reads", async () => {
    const output = newFolder();
    await exported(teacher, output, "--format", "hf");
    const { code, err } = await exported(output, join(output, "..", `out-${count - 1}`), "--format", "hf");
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/is the folder that is exported from/) });
  });

  it("a model that Hugging Face has no form of is refused before anything is written", async () => {
    const source = newFolder();
    await exported(student, source, "--format", "hf");
    const output = newFolder();
    const config = await json(source, "config.json");
    await writeFile(join(source, "config.json"), JSON.stringify({ ...config, sem_head_dim: "wide" }));
    const { code, err } = await exported(source, output, "--format", "hf");
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/sem_head_dim is "wide"/) });
    await expect(readdir(output)).rejects.toThrow(/ENOENT/);
  });
});

it("--format onnx: models with one file of weights", async () => {
  for (const cache of [[], ["--with-cache"]]) {
    const output = newFolder();
    const { code, out } = await exported(student, output, "--format", "onnx", ...cache, "--json");
    const models = ["model.onnx", ...(cache.length ? ["prefill.onnx", "decode.onnx"] : [])];
    expect({ code, ...(JSON.parse(out) as object) }).toMatchObject({
      ok: true,
      format: "onnx",
      files: ["model.onnx.data", ...models].map((name) => join(output, name)),
    });
    expect((await readdir(output)).sort()).toEqual(["model.onnx.data", ...models].sort());
    // What they compute is tested in @caramba/experiment.
    for (const name of models) expect(await readFile(join(output, name), "latin1")).toContain("logits");
  }
});

it.each([
  [["--output", "x"], /required option '--format/],
  [["--format", "hf"], /required option '--output/],
  [["--format", "gguf", "--output", "x"], /Allowed choices are hf, onnx/],
  [["--format", "hf", "--output", "x", "--with-cache"], /--with-cache goes with --format onnx/],
  [["--format", "onnx", "--output", "x", "--dtype", "float16"], /--dtype goes with --format hf/],
  [["--format", "hf", "--output", "x", "--max-shard-size", "lots"], /500MB or 5GB/],
])("%j is a misuse", async (args, message) => {
  const { code, err } = await runCli("export", "anything", ...args);
  expect({ code, err }).toEqual({ code: 2, err: expect.stringMatching(message) });
});
