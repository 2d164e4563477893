// The README's command lines run as they are printed, one after the other, in a folder that has what they name.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { spawnCli } from "../test-support/run-cli.ts";
import { tinyManifest } from "../test-support/tiny-manifest.ts";
import { exitCodes, main } from "./index.ts";

let folder: string | undefined;
afterAll(() => folder && rm(folder, { recursive: true, force: true }));

it("the README's command lines run", async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-readme-"));
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  await writeFile(join(folder, "notes.md"), "the quick brown fox jumps over the lazy dog\n".repeat(300));
  const tiny = { folder: ".", tokens: "quick/tokens.npy", tokenizer: "quick/tokenizer.json", vocabSize: 300 };
  await writeFile(
    join(folder, "manifest.yml"),
    tinyManifest({ ...tiny, teacherSteps: 2, blockwiseSteps: 1, finetuneSteps: 1 }).replaceAll(
      "teacher_sanity_max_ppl: 400",
      "teacher_sanity_max_ppl: 1000",
    ),
  );
  const lines = /```console\n([\s\S]*?)```/.exec(readme)?.[1]?.trimEnd().split("\n") ?? [];
  expect(lines).toHaveLength(4);
  const outs: string[] = [];
  for (const line of lines) {
    const words = [...line.replace(/^\$ caramba /, "").matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? "");
    const { code, out, err } = await spawnCli(words, { cwd: folder });
    expect({ line, code, err: code === 0 ? "" : err }).toEqual({ line, code: 0, err: "" });
    outs.push(out);
  }
  expect(outs[1]).toContain("kv_bytes_per_token");
  expect(outs[2]).toContain("== dba ==");
  expect(outs[3]).toMatch(/^the quick/);
}, 60_000);

it("documents every exit code", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  for (const code of Object.values(exitCodes)) expect(readme).toMatch(new RegExp(`^\\| ${code} \\|`, "m"));
  expect(await main(["compile", "tiny_gqa"])).toBe(exitCodes.ok);
});
