// Models of the Hub through the command, against a Hub on this machine.
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { trainBpe } from "@caramba/data";
import { runExperiment } from "@caramba/experiment";
import { openCheckpoint, openHfModel, writeHfModel } from "@caramba/loader";
import { buildModel } from "@caramba/model";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { bin, runCli, spawnCli, spawnText } from "../test-support/run-cli.ts";
import { serveFolder, type TinyHub } from "../test-support/tiny-hub.ts";
import { tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";

let root: string;
let open: TinyHub;
let gated: TinyHub;
let cache: string;

const layer = (type: "AttentionLayer" | "SwiGLULayer") => ({
  type: "ResidualTopology" as const,
  layers: [
    { type: "RMSNormLayer" as const, dModel: 32 },
    type === "AttentionLayer"
      ? { type, dModel: 32, nHeads: 4, nKvHeads: 2, mode: "gqa" as const }
      : { type, dModel: 32, dFf: 64, bias: false },
  ],
});

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-hub-cli-"));
  await tinyTokens(root);
  // The shape of the tiny manifest's teacher.
  const model = buildModel(
    {
      embedder: { type: "token", vocabSize: 257, dModel: 32 },
      tiedEmbeddings: true,
      topology: {
        type: "StackedTopology",
        layers: [
          { type: "NestedTopology", repeat: 2, layers: [layer("AttentionLayer"), layer("SwiGLULayer")] },
          { type: "RMSNormLayer", dModel: 32 },
        ],
      },
    },
    { seed: 3 },
  );
  const variables = model.variables();
  const folder = join(root, "served");
  await writeHfModel(folder, model.config, async (path) => (await variables.get(path)?.read()) as Float32Array);
  open = await serveFolder("org/tiny", folder);
  gated = await serveFolder("meta-llama/Llama-3.2-1B", folder, "hf_secret");
});
afterAll(async () => {
  await Promise.all([open.close(), gated.close()]);
  await rm(root, { recursive: true, force: true });
});
beforeEach(async () => {
  cache = await mkdtemp(join(root, "cache-"));
  vi.stubEnv("HF_ENDPOINT", open.endpoint);
  vi.stubEnv("HF_HOME", cache);
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
    vi.stubEnv(name, "");
  for (const name of ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN_PATH"]) vi.stubEnv(name, "");
  open.asked.length = 0;
  open.silentAfter = null;
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const generate = (checkpoint: string) => [
  ...["generate", checkpoint, "--prompt", "the", "--max-new-tokens", "2"],
  ...["--tokenizer", "byte", "--device", "onnx"],
];

it("generate takes hf:// and a plain id, and needs no network the second time", async () => {
  const first = await runCli(...generate("hf://org/tiny"));
  expect(first).toMatchObject({ code: 0, out: expect.stringMatching(/^the/) });
  open.asked.length = 0;
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  expect(await runCli(...generate("org/tiny"))).toMatchObject({ code: 0, out: first.out });
  expect(open.asked).toEqual([]);
});

it("export writes a model of the Hub as a folder, which generates the same", async () => {
  const output = join(cache, "exported");
  expect(await runCli("export", "org/tiny", "--format", "hf", "--output", output)).toMatchObject({ code: 0 });
  expect((await readdir(output)).sort()).toEqual(["config.json", "generation_config.json", "model.safetensors"]);
  const { code, out } = await runCli(...generate("hf://org/tiny"));
  expect(await runCli(...generate(output))).toMatchObject({ code, out });
});

it("a model that is there as PyTorch's file alone is fetched as that", async () => {
  const parity = fileURLToPath(new URL("../../../fixtures/loader/parity/qwen3/", import.meta.url));
  const folder = await mkdtemp(join(root, "pickled-"));
  for (const name of ["config.json", "pytorch_model.bin"]) await copyFile(join(parity, name), join(folder, name));
  const hub = await serveFolder("org/pickled", folder);
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  const output = join(cache, "exported");
  const { code } = await runCli("export", "org/pickled", "--format", "hf", "--output", output);
  await hub.close();
  expect(code).toBe(0);
  const [here, there] = await Promise.all([output, parity].map((place) => openHfModel(place)));
  expect(here?.parameters).toEqual(there?.parameters);
  for (const path of here?.parameters.keys() ?? [])
    expect(await here?.read(path), path).toEqual(await there?.read(path));
  await Promise.all([here?.close(), there?.close()]);
});

describe("a tokenizer on the Hub", () => {
  let hub: TinyHub;
  beforeAll(async () => {
    const folder = await mkdtemp(join(root, "spoken-"));
    const text = "the quick brown fox jumps over the lazy dog; ".repeat(9);
    await (await trainBpe([text], { vocabSize: 257 })).save(join(folder, "tokenizer.json"));
    await writeFile(join(folder, "tokenizer_config.json"), "{}");
    await writeFile(join(folder, "model.safetensors"), "never read");
    hub = await serveFolder("org/spoken", folder);
    await writeFile(join(root, "book.txt"), text.repeat(20));
  });
  afterAll(() => hub.close());

  it("prepares text, trains and generates, without any weights; later without the network", async () => {
    vi.stubEnv("HF_ENDPOINT", hub.endpoint);
    const tokens = join(cache, "tokens.npy");
    const prepared = ["prepare", "--input", join(root, "book.txt"), "--output", tokens, "--tokenizer", "org/spoken"];
    expect(await runCli(...prepared)).toMatchObject({ code: 0 });
    expect(hub.asked.filter(({ path }) => path.endsWith(".safetensors"))).toEqual([]);

    const manifest = join(cache, "manifest.yml");
    const write = (tokenizer: string) =>
      writeFile(manifest, tinyManifest({ folder: cache, tokens, tokenizer, teacherSteps: 2, benchmarks: false }));
    await write("hf://org/spoken@main");
    const runs = join(cache, "runs");
    const run = ["run", manifest, "--target", "teacher", "--runs-dir", runs, "--device", "onnx", "--threads", "1"];
    expect(await runCli(...run)).toMatchObject({ code: 0 });
    const checkpoint = join(runs, "tiny", "teacher", "base_standard_final.safetensors");
    const opened = await openCheckpoint(checkpoint);
    await opened.close();
    expect(opened.state.tokenizer).toBe(`hf://org/spoken@${"f".repeat(40)}`);

    hub.asked.length = 0;
    const asks = ["generate", checkpoint, "--prompt", "the", "--max-new-tokens", "2", "--device", "onnx", "--offline"];
    expect(await runCli(...asks)).toMatchObject({ code: 0, out: expect.stringMatching(/^the/) });
    const output = join(cache, "exported");
    const exported = await runCli("export", checkpoint, "--format", "hf", "--output", output, "--offline");
    expect(exported).toMatchObject({ code: 0 });
    expect(await readdir(output)).toContain("tokenizer_config.json");
    expect(hub.asked).toEqual([]);

    // Another cache has nothing: what is missing, and where, is said, and a dry run asks nobody.
    vi.stubEnv("HF_HUB_CACHE", join(cache, "elsewhere"));
    for (const words of [asks, [...run, "--offline"]])
      expect(await runCli(...words)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/org\/spoken\S* was never downloaded in \S+elsewhere, .*\n {2}-> .*--offline/),
      });
    vi.stubEnv("HF_HUB_OFFLINE", "");
    const dry = await runCli(...run, "--dry-run");
    expect(dry).toMatchObject({ code: 0, out: expect.stringMatching(/hf:\/\/org\/spoken@main: fetched from the/) });
    expect(hub.asked).toEqual([]);

    vi.stubEnv("HF_HUB_CACHE", "");
    await write("byte");
    expect((await runCli(...run)).err).toMatch(/was made with another tokenizer than byte/);
    await write("org/tiny");
    expect((await runCli(...run)).err).toMatch(/no file or folder org\/tiny is here, and as a model of the Hub/);
  });

  it("reads a verification's prompts; where it cannot be had, that is told before anything is trained", async () => {
    vi.stubEnv("HF_ENDPOINT", hub.endpoint);
    const tokens = join(cache, "tokens.npy");
    const input = join(root, "book.txt");
    await runCli("prepare", "--input", input, "--output", tokens, "--tokenizer", "org/spoken");
    const manifest = join(cache, "manifest.yml");
    // Another cache, and a name that says nothing: only the verification asks for the tokenizer.
    vi.stubEnv("HF_HUB_CACHE", join(cache, "elsewhere"));
    const cases = "cases: [{ kind: exact_match_greedy, id: a, prompt: the, answer: x }]";
    const thresholds = "thresholds: { min_student_accuracy: 0, max_accuracy_drop: 1 }";
    const verify = (tokenizer: string) =>
      `{ type: eval, tokenizer: ${tokenizer}, max_new_tokens: 1, ${cases}, ${thresholds} }`;
    const sizes = { teacherSteps: 1, blockwiseSteps: 1, finetuneSteps: 1, benchmarks: false };
    const text = tinyManifest({ folder: cache, tokens, tokenizer: "somebodys", ...sizes });
    const write = (tokenizer: string) =>
      writeFile(manifest, text.replaceAll(/verify: \{ type: (?:compare|fidelity).*/g, `verify: ${verify(tokenizer)}`));
    const runs = ["--runs-dir", join(cache, "runs"), "--device", "onnx", "--threads", "1"];
    await write("{ type: llama, model_id: org/spoken }");
    const offline = await runCli("run", manifest, "--all", ...runs, "--offline");
    expect(offline).toMatchObject({ code: 1, err: expect.stringMatching(/org\/spoken was never downloaded in/) });
    vi.stubEnv("HF_HUB_OFFLINE", "");
    const left = await readdir(join(cache, "runs", "tiny", "dba"));
    expect(left.filter((name) => name.endsWith(".safetensors"))).toEqual([]);
    for (const tokenizer of ["{ type: llama, model_id: org/spoken }", '{ type: file, path: "hf://org/spoken" }']) {
      await write(tokenizer);
      expect(await runCli("run", manifest, "--target", "dba", ...runs, "--no-resume")).toMatchObject({ code: 0 });
    }
  });

  it("of a repository without one is refused by name", async () => {
    const words = generate("hf://org/tiny").map((word) => (word === "byte" ? "hf://org/tiny" : word));
    const { code, err } = await runCli(...words);
    expect(code).toBe(1);
    expect(err).toMatch(/org\/tiny has neither tokenizer\.json nor tokenizer\.model/);
  });
});

it("a model of another kind is refused before its weights are asked for", async () => {
  const folder = await mkdtemp(join(root, "bert-"));
  await writeFile(join(folder, "config.json"), JSON.stringify({ model_type: "bert", hidden_size: 32 }));
  await writeFile(join(folder, "model.safetensors"), "never read");
  const hub = await serveFolder("org/bert", folder);
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  const { code, err } = await runCli(...generate("hf://org/bert"));
  await hub.close();
  expect(code).toBe(1);
  expect(err).toMatch(/^error: .*config\.json.*bert/);
  expect(hub.asked.filter(({ path }) => path.endsWith(".safetensors"))).toEqual([]);
});

describe("an upcycle", () => {
  /** The tiny manifest's upcycle, of a teacher on the Hub. */
  async function upcycle(teacher: string): Promise<string> {
    const text = tinyManifest({ folder: root, benchmarks: false, blockwiseSteps: 1, finetuneSteps: 1 });
    const path = join(cache, "manifest.yml");
    await writeFile(path, text.replaceAll(/teacher_ckpt: .*/g, `teacher_ckpt: ${teacher}`));
    return path;
  }
  const run = (path: string) =>
    runCli("run", path, "--target", "dba", "--runs-dir", join(cache, "runs"), "--device", "onnx", "--threads", "1");

  it("of a teacher on the Hub runs to its end", async () => {
    expect(await run(await upcycle("hf://org/tiny@main"))).toMatchObject({ code: 0 });
    expect((await readdir(join(cache, "runs", "tiny", "dba"))).filter((name) => name.includes("final"))).toHaveLength(
      2,
    );
  });

  it("tells how far the download is, and names the commit in what it leaves", async () => {
    const downloads: { model: string; done: number; total: number }[] = [];
    const path = await upcycle("hf://org/tiny");
    const result = await runExperiment({
      ...{ manifest: await readFile(path, "utf8"), manifestPath: path, target: "dba" },
      ...{ runsDir: join(cache, "runs"), device: "onnx", threads: 1 },
      onEvent: (event) => event.type === "download" && downloads.push(event),
    });
    expect(result.targets[0]?.teacherCheckpoint).toBe(`hf://org/tiny@${"f".repeat(40)}`);
    const bytes = await Promise.all(
      ["config.json", "model.safetensors"].map(async (name) => (await readFile(join(root, "served", name))).length),
    );
    const total = bytes.reduce((a, b) => a + b, 0);
    expect(downloads.at(-1)).toMatchObject({ model: "org/tiny", done: total, total });
  });

  it("of a model that is nowhere says how to mend it", async () => {
    const { code, err } = await run(await upcycle("hf://org/tyni"));
    expect(code).toBe(1);
    expect(err).toMatch(/error: the Hub has no model org\/tyni, or it is private\n {2}-> check the spelling/);
    const plain = await run(await upcycle("runs/tyni"));
    expect(plain.err).toMatch(/error: no file or folder runs\/tyni is here, and as a model of the Hub: /);
    expect(plain.err).toMatch(/\n {2}-> correct the path; or: /);
  });

  it("without the network says so", async () => {
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    const { err } = await run(await upcycle("hf://org/tiny"));
    expect(err).toMatch(
      /org\/tiny was never downloaded in .*, and the network is not to be used\n {2}-> .*HF_HUB_OFFLINE/,
    );
    expect(open.asked).toEqual([]);
  });
});

describe("preset llama32_1b_dba, whose teacher is gated", () => {
  it("ends without a token in what to do, and never prints one", async () => {
    vi.stubEnv("HF_ENDPOINT", gated.endpoint);
    const tokens = await tinyTokens(cache, { bytes: 200_000 });
    const args = ["--set", `vars.tokens=${tokens}`, "--target", "quick", "--runs-dir", join(cache, "runs")];
    const without = await runCli("run", "llama32_1b_dba", ...args);
    expect(without.code).toBe(1);
    expect(without.err).toMatch(/error: meta-llama\/Llama-3\.2-1B is gated/);
    expect(without.err).toMatch(/-> ask for access at http.*\/meta-llama\/Llama-3\.2-1B, then .* set HF_TOKEN/);
    vi.stubEnv("HF_TOKEN", "hf_wrong");
    const wrong = await runCli("run", "llama32_1b_dba", ...args);
    expect(wrong.err).toMatch(/your token has no access/);
    expect(wrong.err).not.toContain("hf_wrong");
  });

  it("goes on with one: to the model that is there, which is not this one", async () => {
    vi.stubEnv("HF_ENDPOINT", gated.endpoint);
    vi.stubEnv("HF_TOKEN", "hf_secret");
    const { code } = await runCli(...generate("hf://meta-llama/Llama-3.2-1B"));
    expect(code).toBe(0);
  });
});

it.skipIf(process.platform === "win32")("a full disk is told, and leaves nothing under a final name", async () => {
  const words = [process.execPath, bin, ...generate("hf://org/tiny")].map((word) => `'${word}'`).join(" ");
  const { code, err } = await spawnText("bash", ["-c", `ulimit -f 8; ${words}`]);
  expect(code).toBe(1);
  expect(err).toMatch(
    /error: .*blobs\/[0-9a-f]{40}: cannot be written: the file would be larger than allowed here; what arrived/,
  );
  expect(err).toMatch(/\n {2}-> Free space/);
  const blobs = join(cache, "hub", "models--org--tiny", "blobs");
  const config = join(root, "served", "config.json");
  const whole = (await readdir(blobs)).filter((name) => !name.endsWith(".incomplete"));
  expect(whole).toHaveLength(1);
  expect(await readFile(join(blobs, whole[0] ?? ""))).toEqual(await readFile(config));
  expect(await runCli(...generate("hf://org/tiny"))).toMatchObject({ code: 0 });
});

it("a killed download is gone on with by the next command", async () => {
  const size = (await readFile(join(root, "served", "model.safetensors"))).length;
  open.silentAfter = Math.floor(size / 2);
  const blobs = join(cache, "hub", "models--org--tiny", "blobs");
  const arrived = async (): Promise<string[]> => {
    const names = await readdir(blobs).catch(() => []);
    const partial = names.filter((name) => name.endsWith(".incomplete"));
    const sizes = await Promise.all(partial.map(async (name) => (await readFile(join(blobs, name))).length));
    return partial.filter((_, n) => sizes[n] === open.silentAfter);
  };
  const killer = new AbortController();
  const killed = spawnCli(generate("hf://org/tiny"), { signal: killer.signal, killSignal: "SIGKILL" }).catch(
    () => null,
  );
  await vi.waitUntil(async () => (await arrived()).length > 0, { timeout: 20_000, interval: 50 });
  const [name = ""] = await arrived();
  killer.abort();
  await killed;
  await vi.waitUntil(() => isGone(Number(name.split("-")[1])), { timeout: 20_000, interval: 20 });
  open.silentAfter = null;
  open.asked.length = 0;
  expect(await runCli(...generate("hf://org/tiny"))).toMatchObject({ code: 0 });
  const weights = open.asked.filter(({ path }) => path.endsWith("model.safetensors"));
  expect(weights).toEqual([expect.objectContaining({ from: Math.floor(size / 2) })]);
  expect((await readdir(blobs)).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
});

function isGone(pid: number): boolean {
  try {
    return !process.kill(pid, 0);
  } catch {
    return true;
  }
}
