// caramba chat as a process, through a pipe.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCli, spawnCli } from "../../test-support/run-cli.ts";
import { tinyCheckpoint } from "../../test-support/tiny-model.ts";
import { modernArguments } from "./legacy.ts";

let root: string;
let file: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-chat-"));
  file = join(root, "m_standard_final.safetensors");
  await tinyCheckpoint(file, 257, "byte");
});
afterAll(() => rm(root, { recursive: true, force: true }));

const engine = ["--device", "reference", "--temperature", "0", "--max-new-tokens", "8"];

it("each line is a turn; answers on standard output, the rest on standard error", async () => {
  const input = "hello\n/help\n/reset\n/bogus\nhello\n/exit\nnever\n";
  const { code, out, err } = await spawnCli(["chat", file, ...engine], { input });
  expect(code).toBe(0);
  // Begun anew, the answer to the same line is the same.
  expect(out.length).toBeGreaterThan(2);
  expect(out.slice(0, out.length / 2)).toBe(out.slice(out.length / 2));
  expect(err).toMatch(/reference, a context of 2048 tokens/);
  expect(err).toMatch(/has no chat template/);
  expect(err.match(/^8 tokens, [\d.]+ tokens\/s; prompt \d+ in/gm)).toHaveLength(2);
  expect(err).toMatch(/\/reset +begin anew\n/);
  expect(err).toMatch(/\/bogus means nothing here/);
  expect(`${out}${err}`).not.toContain("\u001b");
  // The same by its old name.
  const old = ["--mode", "chat", "--ckpt", file, ...engine];
  expect(modernArguments(old)).toEqual(["chat", file, ...engine]);
});

it("a message that does not fit ends a pipe with exit code 1 and the reason", async () => {
  const input = `${"long ".repeat(20)}\nshort\n`;
  const { code, out, err } = await spawnCli(["chat", file, ...engine, "--context", "64"], { input });
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toMatch(/the conversation takes 1\d\d tokens, and the context holds 64\nbegin anew with \/reset/);
});

it("asks for what it lacks", async () => {
  expect(await runCli("chat", join(root, "absent.safetensors"))).toMatchObject({
    code: 1,
    err: expect.stringContaining("does not exist"),
  });
  expect(() => modernArguments(["--mode", "chat"])).toThrow(/--mode chat needs --ckpt/);
  expect(await runCli("chat", file, "--tokenizer", "gpt2")).toMatchObject({
    code: 1,
    err: expect.stringContaining("the tokenizer has 50257 ids, the model 257"),
  });
});
