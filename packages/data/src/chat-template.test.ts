// Chat templates against transformers (fixtures/data/generate_chat_templates.py), and hostile ones against their bounds.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ChatMessage, ChatTemplate } from "./chat-template.ts";

interface Fixture {
  readonly now: string;
  readonly tokens: Record<string, string>;
  readonly templates: Record<string, string>;
  readonly cases: {
    readonly template: string;
    readonly messages: ChatMessage[];
    readonly options: { tools?: object[]; add_generation_prompt?: boolean } & Record<string, unknown>;
    readonly text?: string;
    readonly error?: string;
  }[];
}
const fixture: Fixture = JSON.parse(
  readFileSync(new URL("../../../fixtures/data/chat-templates.json", import.meta.url), "utf8"),
);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-chat-"));
});
afterAll(() => rm(folder, { recursive: true }));

it("renders as transformers does", async () => {
  const template = new ChatTemplate(new Map(Object.entries(fixture.templates)), fixture.tokens);
  for (const { template: name, messages, options, text, error } of fixture.cases) {
    const { tools, add_generation_prompt, ...variables } = options;
    const rendered = template.apply(messages, {
      template: name,
      addGenerationPrompt: add_generation_prompt ?? false,
      ...(tools ? { tools } : {}),
      now: new Date(fixture.now),
      variables,
    });
    if (error === undefined) expect({ name, options, text: await rendered }).toEqual({ name, options, text });
    else await expect(rendered).rejects.toThrow(error);
  }
});

it("finds templates and tokens in a model's folder", async () => {
  expect(await ChatTemplate.load(folder)).toBeUndefined();
  writeFileSync(
    join(folder, "chat_template.json"),
    JSON.stringify({ chat_template: "{{ eos_token }}{{ cls_token }}" }),
  );
  writeFileSync(join(folder, "special_tokens_map.json"), JSON.stringify({ eos_token: "old", cls_token: "[C]" }));
  expect(await (await ChatTemplate.load(folder))?.apply([])).toBe("old[C]");
  const config = (chat_template: unknown) => {
    const json = { chat_template, bos_token: { content: "<s>" }, eos_token: "</s>", pad_token: null };
    writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify(json));
  };
  const open = async () => (await ChatTemplate.load(folder)) as ChatTemplate;
  config("{{ bos_token }}one{{ eos_token }}{{ pad_token }}");
  expect(await (await open()).apply([])).toBe("<s>one</s>");
  config([
    { name: "default", template: "plain" },
    { name: "tool_use", template: "tools" },
  ]);
  const two = await open();
  expect([await two.apply([]), await two.apply([], { tools: [] })]).toEqual(["plain", "tools"]);
  await expect(two.apply([], { template: "rag" })).rejects.toMatchObject({ remedy: "name one of: default, tool_use" });
  writeFileSync(join(folder, "chat_template.jinja"), "file");
  mkdirSync(join(folder, "additional_chat_templates"));
  writeFileSync(join(folder, "additional_chat_templates", "rag.jinja"), "{{ messages | length }} for rag");
  const three = await open();
  expect([await three.apply([]), await three.apply([], { template: "rag" })]).toEqual(["file", "0 for rag"]);
  config([{ name: "x" }]);
  await expect(open()).rejects.toMatchObject({ code: "chat-template" });
  writeFileSync(join(folder, "chat_template.jinja"), "x".repeat((1 << 20) + 1));
  config("x");
  await expect(open()).rejects.toThrow(/larger than 1 MiB/);
});

it("bounds what a template does", async () => {
  const run = (source: string) =>
    new ChatTemplate(new Map([["default", source]]), {}, { memoryMiB: 48, seconds: 1 }).apply([]);
  await expect(run("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}")).rejects.toThrow(
    /longer than 1 s|more than 48 MiB/,
  );
  await expect(run("{% for i in range(1000000000) %}{% endfor %}")).rejects.toThrow(/longer than 1 s|more than 48 MiB/);
  const doubling =
    "{% set ns = namespace(x=[1,2,3]) %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}";
  await expect(run(doubling)).rejects.toThrow(/more than 48 MiB|longer than 1 s/);
  await expect(
    run("{% set ns = namespace(x='ab') %}{% for i in range(26) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}"),
  ).rejects.toThrow(/too long|more than 48 MiB/);
  await expect(run(`${"(".repeat(100_000)}`)).resolves.toBe("(".repeat(100_000));
  await expect(run(`{{ ${"(".repeat(200_000)}1${")".repeat(200_000)} }}`)).rejects.toMatchObject({
    code: "chat-template",
  });
  await expect(run("{% if %}")).rejects.toMatchObject({ code: "chat-template" });
  await expect(run("{{ messages.constructor.constructor('return process')() }}")).rejects.toThrow();
});
