// The command as users run it: a process of its own from the build, its exit codes, output and signals.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { presets } from "@caramba/config";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bin, runCli, spawnCli, spawnText } from "../test-support/run-cli.ts";
import { tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-cli-"));
  await tinyTokens(root);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const engine = ["--device", "onnx", "--threads", "1"];
const checkpoint = (at: string, name: string) => join(at, "runs", "tiny", name);

describe("arguments", () => {
  it("--help is there at once and names every command", async () => {
    const times: number[] = [];
    for (let n = 0; n < 3; n++) {
      const start = performance.now();
      const { code, out, err } = await spawnCli(["--help"]);
      times.push(performance.now() - start);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      for (const command of ["quickstart", "compile", "run", "generate", "chat", "prepare", "presets"])
        expect(out).toMatch(new RegExp(`^ +${command} `, "m"));
    }
    // 0.1 s where nothing else runs; the bound leaves room for a busy machine.
    expect(Math.min(...times)).toBeLessThan(1500);
  });
  it("none shows help", async () => {
    expect(await runCli()).toMatchObject({ code: 0, out: expect.stringContaining("Usage: caramba") });
  });
  it.each([
    [["frobnicate"], /unknown command 'frobnicate'/],
    [["run"], /missing required argument 'manifest'/],
    [["run", "x.yml", "--frob"], /unknown option '--frob'/],
    [["run", "x.yml", "--threads", "0"], /whole number of at least 1/],
    [["run", "x.yml", "--target", "a", "--group", "b"], /cannot be used with/],
    [["generate", "x.safetensors", "--cache", "int3"], /Allowed choices are fp16, fp32/],
    [["run", "x.yml", "--all", "--target", "a"], /cannot be used with/],
    [["generate", "x.safetensors", "--seed", "1.5"], /whole number/],
    [["generate", "x.safetensors", "--top-p", "2"], /at most 1/],
    [["generate", "x.safetensors", "--temperature", "hot"], /number of at least 0/],
    [["prepare", "--output", "x.npy"], /--input/],
  ])("%j is a misuse: exit code 2", async (args, message) => {
    expect(await runCli(...args)).toMatchObject({ code: 2, out: "", err: expect.stringMatching(message) });
  });
  it("a reader that stops early is no error", async () => {
    const { code, err } = await spawnText("bash", [
      "-c",
      `"${process.execPath}" "${bin}" compile llama32_1b_dba --print-plan | head -n 1; exit \${PIPESTATUS[0]}`,
    ]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
  });
  it("an unknown command as a process exits with 2", async () => {
    expect(await spawnCli(["frobnicate"])).toMatchObject({ code: 2, out: "" });
  });
});

describe("compile", () => {
  it("a good manifest", async () => {
    const path = join(root, "good.yml");
    await writeFile(path, tinyManifest({ folder: root }));
    expect(await spawnCli(["compile", path])).toMatchObject({
      code: 0,
      out: `${path}: ok, targets teacher, dba\n`,
      err: "",
    });
  });
  it("a broken one: exit code 1, place and line, no stack", async () => {
    const path = join(root, "broken.yml");
    await writeFile(path, tinyManifest({ folder: root }).replace("lr: 0.003", "lr: -1"));
    const { code, out, err } = await spawnCli(["compile", path]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    const lines = (await readFile(path, "utf8")).split("\n");
    const line = lines.findIndex((text) => text.includes("lr: -1"));
    const column = (lines[line]?.indexOf("-1") ?? 0) + 1;
    expect(err).toContain(`broken.yml:${line + 1}:${column}: targets[0].runs[0].train.lr: `);
    expect(err).not.toMatch(/\n\s+at /);
  });
  it.each(Object.keys(presets))("preset %s, with what its models cost", async (name) => {
    const { code, out, err } = await runCli("compile", name, "--print-plan");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/parameters=[\d,]+\n/);
    expect(out).toMatch(/flops_per_token=[\d,]+ /);
    expect(out).toMatch(/kv_bytes_per_token fp32=[\d,]+ fp16=[\d,]+ q8_0=[\d,]+ q4_0=[\d,]+/);
  });
  it("counts what the dimensions say", async () => {
    const path = join(root, "counted.yml");
    await writeFile(path, tinyManifest({ folder: root }));
    const { out } = await runCli("compile", path, "--print-plan", "--target", "teacher");
    // Embedding (tied), per layer q and o 32x32, k and v 16x32, two norms, SwiGLU 3 x 32x64; the last norm.
    const perLayer = 2 * 32 * 32 + 2 * 16 * 32 + 2 * 32 + 3 * 32 * 64;
    expect(out).toContain(`parameters=${(257 * 32 + 2 * perLayer + 32).toLocaleString("en-US")}\n`);
    // K and V of 2 heads x 8, 2 layers.
    expect(out).toContain(`kv_bytes_per_token fp32=${2 * 2 * 2 * 8 * 4} fp16=${2 * 2 * 2 * 8 * 2} `);
  });
  it("a 1B preset takes no longer than building its plan: no weights, no engine", async () => {
    const before = process.memoryUsage().arrayBuffers;
    const start = performance.now();
    await runCli("compile", "llama32_1b_dba", "--print-plan");
    expect(performance.now() - start).toBeLessThan(2000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50e6);
  });
});

describe("presets", () => {
  it("are listed, each with what it is for, and printed as they are", async () => {
    const { out } = await spawnCli(["presets"]);
    for (const name of Object.keys(presets)) expect(out).toMatch(new RegExp(`^${name} +\\S`, "m"));
    expect(await runCli("presets", "quickstart")).toMatchObject({ code: 0, out: presets["quickstart"] });
    expect(await runCli("presets", "nope")).toMatchObject({ code: 1, err: expect.stringContaining("caramba presets") });
  });
});

describe("prepare", () => {
  it("makes a token file and its tokenizer, and leaves them alone the second time", async () => {
    const input = join(root, "prose.md");
    await writeFile(input, "to be or not to be, that is the question\n".repeat(100));
    const args = ["prepare", "--input", input, "--output", join(root, "prose", "tokens.npy"), "--vocab-size", "280"];
    const first = await spawnCli(args);
    expect(first).toMatchObject({ code: 0, err: "" });
    expect(first.out).toMatch(
      /tokens\.npy: \d+ tokens of 1 documents, tokenizer .*tokenizer\.json \(vocabulary 2\d\d\)\n$/,
    );
    expect((await readdir(join(root, "prose"))).sort()).toEqual(["tokenizer.json", "tokens.json", "tokens.npy"]);
    expect((await runCli(...args)).out).toMatch(/, unchanged\n$/);
  });
});

describe("run and generate", () => {
  let at: string;
  let manifest: string;
  let plain: Awaited<ReturnType<typeof spawnCli>>;
  const places = () => ["--runs-dir", join(at, "runs"), "--artifacts-dir", join(at, "artifacts"), ...engine];
  beforeAll(async () => {
    at = join(root, "run");
    manifest = join(at, "manifest.yml");
    await mkdir(at, { recursive: true });
    await writeFile(manifest, tinyManifest({ folder: at, tokens: join(root, "tokens.npy") }));
    plain = await spawnCli(["run", manifest, "--all", ...places()]);
  }, 60_000);

  it("--dry-run says what would run and executes nothing", async () => {
    const away = join(root, "dry");
    const args = [
      "run",
      manifest,
      "--dry-run",
      "--runs-dir",
      join(away, "runs"),
      "--artifacts-dir",
      join(away, "artifacts"),
    ];
    const lines = async (...more: string[]) => {
      const { code, out, err } = await runCli(...args, ...more);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      return out.trimEnd().split("\n");
    };
    const all = await lines("--all");
    expect(all.at(-1)).toBe(`${manifest}: would run teacher, dba`);
    for (const shown of [
      /^target=teacher /,
      /^target=dba /,
      /^ {2}train_memory base=/,
      /^check device: /,
      /^check data of teacher: .*tokens\.npy: \d+ tokens, tokenizer byte$/,
      /^check teacher of dba: .*\.safetensors$/,
      /^check disk: checkpoints of tiny take up to /,
    ])
      expect(all).toContainEqual(expect.stringMatching(shown));
    expect((await lines("--target", "convert")).at(-1)).toBe(`${manifest}: would run dba`);
    expect((await lines("--group", "dba")).at(-1)).toBe(`${manifest}: would run dba`);
    await expect(readdir(away)).rejects.toThrow(/ENOENT/);
  });

  it("prints progress to standard error and the summary to standard output", () => {
    const { code, out, err } = plain;
    expect(code).toBe(0);
    expect(err.split("\n").filter((line) => line.startsWith("["))).toEqual([
      expect.stringMatching(/^\[teacher\] data .*tokens\.npy$/),
      "[teacher] build standard",
      "[teacher] train base",
      expect.stringMatching(/^\[dba\] data /),
      "[dba] build upcycle",
      "[dba] train heads",
      "[dba] verify heads: compare",
      "[dba] train whole",
      "[dba] verify whole: fidelity",
      "[dba] benchmark quality, speed, memory",
      "[dba] artifacts",
    ]);
    expect(err).toMatch(/^ {2}base 6\/12: validation loss \d\.\d{4}, perplexity [\d.]+$/m);
    for (const control of ["\r", "\u001b"]) expect(err).not.toContain(control);
    for (const part of [
      /^== dba ==$/m,
      /^perplexity \(held out\) +[\d.]+ +[\d.]+ +[\d.]+x$/m,
      /^KV-cache ratio +0\.5000 /m,
    ])
      expect(out).toMatch(part);
    expect(out).toContain(join(at, "artifacts", "tiny_"));
    expect(
      Math.max(
        ...out
          .split("\n")
          .filter((line) => !line.includes(root))
          .map((line) => line.length),
      ),
    ).toBeLessThan(100);
  });

  it("generate goes on from a prompt, the same for the same seed, from a student and from standard input", async () => {
    const student = checkpoint(at, "dba/whole_global_final.safetensors");
    const args = ["generate", student, "--max-new-tokens", "12", "--device", "onnx"];
    const [a, b] = [
      await spawnCli([...args, "--prompt", "the quick", "--seed", "3"]),
      await spawnCli([...args, "--seed", "3"], { input: "the quick" }),
    ];
    expect(a).toMatchObject({ code: 0, err: expect.stringMatching(/^12 tokens, [\d.]+ tokens\/s/) });
    expect(a.out.startsWith("the quick")).toBe(true);
    expect(a.out.length).toBeGreaterThan("the quick".length + 1);
    expect(b.out).toBe(a.out);
    const others = [4, 5, 6].map((seed) => runCli(...args, "--prompt", "the quick", "--seed", String(seed)));
    const outs: string[] = [];
    for (const other of others) outs.push((await other).out);
    expect(new Set([a.out, ...outs]).size).toBeGreaterThan(1);
  });
});

describe("Ctrl-C", () => {
  it("stops after the step with a checkpoint, says how to go on, exits with 130; a killed run resumes as well", async () => {
    const at = join(root, "interrupt");
    await mkdir(at);
    const manifest = join(at, "manifest.yml");
    const text = tinyManifest({
      folder: at,
      tokens: join(root, "tokens.npy"),
      benchmarks: false,
      teacherSteps: 4000,
      saveEvery: 500,
    });
    await writeFile(manifest, text.replace("eval_iters: 6", "eval_iters: 50"));
    const args = ["run", manifest, "--runs-dir", join(at, "runs"), ...engine];
    /** Sends signals once the validation of this step has been seen. */
    const cutAfter = (step: number, signals: NodeJS.Signals[]) => {
      let sent = false;
      return spawnCli(args, {
        onText: (err, kill) => {
          if (sent || !err.includes(`base ${step}/`)) return;
          sent = true;
          for (const signal of signals) kill(signal);
        },
      });
    };
    // The terminal and npm both pass it on: two within a moment are one.
    const cut = await cutAfter(50, ["SIGINT", "SIGINT"]);
    expect(cut.code).toBe(130);
    expect(cut.err.match(/stopping after the step/g)).toHaveLength(1);
    expect(cut.out).toMatch(/Interrupted; the state is saved in .*teacher\. Run the same command again/);
    const [saved = ""] = (await readdir(checkpoint(at, "teacher"))).filter((name) => name.endsWith(".safetensors"));
    const step = Number(/_step(\d+)\./.exec(saved)?.[1]);
    expect(step).toBeGreaterThanOrEqual(50);
    const next = Math.ceil((step + 1) / 50) * 50;
    const killed = await cutAfter(next, ["SIGKILL"]);
    expect(killed.err).toContain(`base: resumed from step ${step}`);
    expect(killed.signal).toBe("SIGKILL");
    const third = await cutAfter(next, ["SIGTERM"]);
    expect(third).toMatchObject({ code: 130, err: expect.stringContaining(`base: resumed from step ${step}`) });
    // The log holds every step once, whatever the kill cut off.
    const log = await readFile(join(checkpoint(at, "teacher"), "train.jsonl"), "utf8");
    const steps = new Set(log.split("\n").flatMap((line) => /"step":(\d+),.*}$/.exec(line)?.[1] ?? []));
    expect(steps.size).toBeGreaterThanOrEqual(next);
    for (let n = 1; n <= next; n++) expect(steps.has(String(n))).toBe(true);
  }, 60_000);
});
