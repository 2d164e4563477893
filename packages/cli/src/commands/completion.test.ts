// Completion as a shell does it: bash runs the script and completes words.
import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { runCli } from "../../test-support/run-cli.ts";

/** What bash offers for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const { code, out } = await runCli("completion", "bash");
  expect(code).toBe(0);
  const script = `${out}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _caramba
printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", script], { encoding: "utf8", cwd: "/" }).split("\n").filter(Boolean);
}

it("offers commands, options of the command, and presets", async () => {
  expect(await offered("caramba", "co")).toEqual(["compile", "completion"]);
  expect(await offered("caramba", "compile", "--pr")).toEqual(["--print-plan"]);
  expect(await offered("caramba", "generate", "--pr")).toEqual(["--prompt"]);
  expect(await offered("caramba", "exp")).toEqual(["export"]);
  expect(await offered("caramba", "export", "--with")).toEqual(["--with-cache"]);
  expect(await offered("caramba", "run", "tiny_g")).toEqual(["tiny_gqa"]);
  expect(await offered("caramba", "prepare", "tiny_g")).toEqual([]);
});

it("zsh takes bash's script, fish has its own", async () => {
  expect((await runCli("completion", "zsh")).out).toContain("bashcompinit");
  const { out } = await runCli("completion", "fish");
  expect(out).toContain("-n '__fish_seen_subcommand_from compile' -l print-plan");
  expect(out).toMatch(/-a presets -d '/);
});

it("another shell is a misuse", async () => {
  expect((await runCli("completion", "cmd")).code).toBe(2);
});
