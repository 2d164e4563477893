// The command line as a whole: help that teaches, completion that names everything, exit codes, one JSON object at the
// end, and --resume.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliOutcome, runCli } from "../test-support/run-cli.ts";
import { tinyManifest, tinyTokens } from "../test-support/tiny-manifest.ts";
import { completionScript, shells, wordsOf } from "./commands/completion.ts";
import { program } from "./program.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-line-"));
  await tinyTokens(root);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const tree = program(() => {});

/** Every command with the words that call it. */
function commandsBelow(command: Command, words: readonly string[] = []): [string, Command][] {
  return command.commands.flatMap((child) => {
    const path = [...words, child.name()];
    return [[path.join(" "), child] as [string, Command], ...commandsBelow(child, path)];
  });
}
const commands = commandsBelow(tree);
const byWords = new Map(commands);

/** The command that an example calls, and the long options it uses. */
function called(example: string): { command: Command | undefined; options: string[] } {
  const words = example.trim().split(/\s+/).slice(1);
  const command = byWords.get(words.slice(0, 2).join(" ")) ?? byWords.get(words[0] ?? "");
  return { command, options: example.match(/(?<= )--[a-z][a-z-]*/g) ?? [] };
}

describe.each(commands)("caramba %s", (words, command) => {
  it("--help says what it does, describes every argument and option, and shows examples that exist", async () => {
    const { code, out, err } = await runCli(...words.split(" "), "--help");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(command.description()).toMatch(/\S{3}/);
    for (const argument of command.registeredArguments) expect(argument.description).toMatch(/\S{3}/);
    for (const option of command.options) expect(option.description).toMatch(/\S{3}/);
    const [, examples = ""] = out.split(/^Examples:$/m);
    const lines = examples.split("\n").filter((line) => /^ {2}(?:eval "\$\()?caramba /.test(line));
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) {
      const { command: found, options } = called(line.replace('eval "$(', ""));
      const known = [found, found?.parent].flatMap((c) => c?.options.map((option) => option.long) ?? []);
      expect([found, found?.parent], line).toContain(command);
      for (const option of options) expect(known, line).toContain(option);
    }
  });
});

it.each(shells)("completion of %s names every command, subcommand and option", (shell) => {
  const script = completionScript(shell, wordsOf(tree));
  for (const [words, command] of commands) {
    expect(script).toMatch(new RegExp(`\\b${command.name()}\\b`));
    for (const { long } of command.options) {
      const inLine = shell === "fish" ? ` -l ${long?.slice(2)} ` : long;
      const own = script.split("\n").filter((line) => line.includes(words.split(" ")[0] ?? ""));
      expect(own.some((line) => line.includes(inLine ?? "-"))).toBe(true);
    }
  }
});

it("--version is the package's", async () => {
  const text = await readFile(new URL("../package.json", import.meta.url), "utf8");
  expect(await runCli("--version")).toEqual({ code: 0, out: `${JSON.parse(text).version}\n`, err: "" });
});

describe("exit codes", () => {
  it("are those of the documentation", async () => {
    const doc = await readFile(new URL("../../../docs/cli.md", import.meta.url), "utf8");
    const section = doc.slice(doc.indexOf("## Exit codes"), doc.indexOf("\n## ", doc.indexOf("## Exit codes") + 1));
    expect([...section.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))).toEqual([0, 1, 2, 130]);
    expect((await runCli("compile", "dba")).code).toBe(0);
    expect((await runCli("compile", "no-such-manifest")).code).toBe(1);
    for (const misuse of [["compile"], ["compile", "dba", "--nope"], ["complie", "dba"], ["run", "dba", "--seed", "x"]])
      expect((await runCli(...misuse)).code, misuse.join(" ")).toBe(2);
  });

  it("a misspelt command or option is answered with the closest", async () => {
    expect((await runCli("complie", "dba")).err).toContain("compile");
    expect((await runCli("compile", "dba", "--print-paln")).err).toContain("--print-plan");
  });
});

/** The object on the last line of standard output. */
function last({ out }: CliOutcome): Record<string, unknown> {
  return JSON.parse(out.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
}

describe("--json", () => {
  const failing: Record<string, string[]> = {
    compile: ["no-such-manifest"],
    run: ["no-such-manifest"],
    quickstart: ["--input", "/no/such/folder"],
    init: ["--params", "10", "--output", "/no/such/folder/m.yml"],
    presets: ["nope"],
    schema: ["--output", "/no/such/folder/s.json"],
    "presets show": ["nope"],
    "presets copy": ["dba", "/no/such/folder/m.yml"],
    prepare: ["--input", "/no/such/file", "--output", "/no/such/folder/t.npy"],
    generate: ["/no/such/file.safetensors"],
    chat: ["/no/such/file.safetensors"],
    export: ["/no/such/file.safetensors", "--format", "hf", "--output", "/no/such/folder"],
  };
  const taking = commands.filter(([, command]) => command.options.some(({ long }) => long === "--json"));

  it.each(taking)("caramba %s: an error is one object too", async (words) => {
    if (words === "presets list")
      return expect(last(await runCli("presets", "list", "--json"))).toMatchObject({ ok: true });
    const args = failing[words];
    expect(args, `a failing call of ${words}`).toBeDefined();
    const outcome = await runCli(...words.split(" "), ...(args ?? []), "--json");
    expect(outcome.code).toBe(1);
    expect(last(outcome)).toMatchObject({ ok: false, exitCode: 1, error: { message: expect.any(String) } });
    expect(outcome.err).toContain("error: ");
  });

  it("an unusable argument is one object too", async () => {
    const outcome = await runCli("compile", "dba", "--nope", "--json");
    expect(outcome.code).toBe(2);
    expect(last(outcome)).toMatchObject({ ok: false, exitCode: 2 });
  });

  it("init, presets, prepare", async () => {
    const file = join(root, "made.yml");
    expect(last(await runCli("init", "--params", "2M", "--output", file, "--json"))).toEqual({ ok: true, file });
    expect(last(await runCli("presets", "show", "dba", "--json"))).toMatchObject({ ok: true, name: "dba" });
    const text = join(root, "text.txt");
    await writeFile(text, "words and more words ".repeat(50));
    const output = join(root, "text.npy");
    expect(last(await runCli("prepare", "--input", text, "--output", output, "--tokenizer", "byte", "--json"))).toEqual(
      { ok: true, file: output, tokens: 1051, documents: 1, reused: false, tokenizer: "byte", vocabSize: 257 },
    );
  });
});

describe("run --dry-run --json", () => {
  const dry = async (changes: object, ...args: string[]): Promise<Record<string, unknown>> => {
    const at = await mkdtemp(join(root, "dry-"));
    const path = join(at, "manifest.yml");
    await writeFile(path, tinyManifest({ folder: at, tokens: join(root, "tokens.npy"), ...changes }));
    const outcome = await runCli("run", path, "--dry-run", "--json", "--runs-dir", join(at, "runs"), ...args);
    expect(await readdir(at)).toEqual(["manifest.yml"]);
    const object = last(outcome);
    expect(object["exitCode"]).toBe(outcome.code);
    return object;
  };
  const lacking = (object: Record<string, unknown>): unknown[] =>
    (object["checks"] as { ok: boolean; what: string; target: string | null }[])
      .filter(({ ok }) => !ok)
      .map(({ what, target }) => [what, target]);

  it("everything is there, the later target's teacher being made by the earlier", async () => {
    const object = await dry({}, "--all");
    expect(object).toMatchObject({ ok: true, exitCode: 0, targets: ["teacher", "dba"], warnings: [] });
    expect(lacking(object)).toEqual([]);
    expect(JSON.stringify(object["checks"])).toContain("made by target teacher before");
    expect((object["costs"] as object[])[0]).toMatchObject({ parameters: expect.any(Number), runs: [{ id: "base" }] });
  });

  it("names all that is missing, each with its remedy", async () => {
    const object = await dry({ tokens: join(root, "no.npy") }, "--target", "dba", "--device", "onnx:cuda");
    expect(object).toMatchObject({ ok: false, exitCode: 1 });
    expect(lacking(object)).toEqual([
      ["device", null],
      ["data", "dba"],
      ["teacher", "dba"],
    ]);
    for (const check of object["checks"] as { ok: boolean; remedy?: string }[])
      if (!check.ok) expect(check.remedy).toMatch(/\S{3}/);
  });
});

describe("run --resume", () => {
  let at: string;
  let manifest: string;
  const run = (...args: string[]): Promise<CliOutcome> =>
    runCli(
      "run",
      manifest,
      "--json",
      "--threads",
      "1",
      "--device",
      "onnx",
      "--artifacts-dir",
      join(at, "artifacts"),
      ...args,
    );
  const here = (): string[] => ["--runs-dir", join(at, "runs")];
  const folder = (): string => join(at, "runs", "tiny", "teacher");
  beforeAll(async () => {
    at = join(root, "resume");
    await mkdir(at);
    manifest = join(at, "manifest.yml");
    await writeFile(
      manifest,
      tinyManifest({ folder: at, tokens: join(root, "tokens.npy"), benchmarks: false, teacherSteps: 4 }),
    );
  });

  it("demands something to go on from", async () => {
    const outcome = await run("--resume", ...here());
    expect(outcome).toMatchObject({
      code: 1,
      err: expect.stringMatching(/no checkpoint in .*teacher\n {2}-> leave --resume out/),
    });
    expect(await readdir(at)).toEqual(["manifest.yml"]);
    expect((await run("--resume", join(at, "nowhere"))).err).toMatch(/no such file or folder/);
  });

  it("goes on where there is, by folder and by file, and says so as one object", async () => {
    const first = await run(...here());
    expect(last(first)).toMatchObject({
      ok: true,
      exitCode: 0,
      status: "finished",
      targets: [{ name: "teacher", runs: [{ id: "base", status: "finished", step: 4 }], checkpoints: folder() }],
    });
    expect(first.out.trimEnd().split("\n")).toHaveLength(1);
    const file = (await readdir(folder())).find((name) => name.includes("_final")) ?? "";
    for (const place of [
      ["--resume", ...here()],
      ["--resume", folder()],
      ["--resume", join(folder(), file)],
      ["--resume", join(at, "runs")],
    ])
      expect(last(await run(...place))).toMatchObject({
        targets: [{ runs: [{ id: "base", status: "skipped", step: 4 }] }],
      });
    const older = join(folder(), "base_standard_step1.safetensors");
    await writeFile(older, "");
    expect((await run("--resume", older)).err).toMatch(
      /no run of tiny goes on from this file\n {2}-> the latest are .*_final/,
    );
    await rm(older);
  });

  it("--no-resume begins anew", async () => {
    expect(last(await run("--no-resume", ...here()))).toMatchObject({
      targets: [{ runs: [{ id: "base", status: "finished", step: 4, resumedFrom: 0 }] }],
    });
  });
});
