// caramba chat as a process, through a pipe.
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadTokenizer } from "@caramba/data";
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

it("speaks through the chat template beside the tokenizer, up to an end of generation_config.json", async () => {
  const fixture = fileURLToPath(new URL("../../../../fixtures/data/tokenizers/llama3.json", import.meta.url));
  const folder = join(root, "llama");
  await mkdir(folder);
  await copyFile(fixture, join(folder, "tokenizer.json"));
  const chat_template = "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";
  await writeFile(
    join(folder, "tokenizer_config.json"),
    JSON.stringify({ chat_template, bos_token: "<|begin_of_text|>" }),
  );
  const checkpoint = join(root, "llama_standard_final.safetensors");
  await tinyCheckpoint(checkpoint, 566, folder);
  const talk = () => spawnCli(["chat", checkpoint, ...engine, "--system", "Hi"], { input: "one\ntwo\n" });
  const { code, out, err } = await talk();
  expect({ code, err }).toEqual({ code: 0, err: expect.not.stringContaining("no chat template") });
  const tokenizer = await loadTokenizer(folder);
  const first = tokenizer.encode("<|begin_of_text|>system:Hi;user:one;");
  expect(err).toContain(`prompt ${first.length} in`);
  // Any id may end an answer: then nothing is said.
  const eos_token_id = Array.from({ length: 566 }, (_, id) => id);
  await writeFile(join(folder, "generation_config.json"), JSON.stringify({ eos_token_id }));
  const silent = await talk();
  expect(out.trim()).not.toBe("");
  expect(silent).toMatchObject({ code: 0, out: "\n\n" });
  expect(silent.err.match(/^1 tokens/gm)).toHaveLength(2);
  // What stands in the place of the file, or twice in it, is told and not waited for.
  for (const [text, message] of [
    ['{"eos_token_id":1,"eos_token_id":2}', /generation_config\.json is not JSON: .*"eos_token_id" occurs twice/],
    [null, /generation_config\.json: not a regular file/],
  ] as const) {
    await rm(join(folder, "generation_config.json"));
    if (text === null) await symlink("/dev/zero", join(folder, "generation_config.json"));
    else await writeFile(join(folder, "generation_config.json"), text);
    expect(await talk()).toMatchObject({ code: 1, err: expect.stringMatching(message) });
  }
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
