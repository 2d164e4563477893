// Presets and the schema as files a user starts from.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manifestJsonSchema, presets } from "@caramba/config";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCli } from "../../test-support/run-cli.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "caramba-presets-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

it("copy writes the preset's text, once", async () => {
  const file = join(root, "mine.yml");
  expect(await runCli("presets", "copy", "tiny_gqa", file)).toMatchObject({ code: 0, err: "" });
  expect(await readFile(file, "utf8")).toBe(presets["tiny_gqa"]);
  expect(await runCli("presets", "copy", "dba", file)).toMatchObject({
    code: 1,
    err: expect.stringContaining("exists already"),
  });
  expect(await readFile(file, "utf8")).toBe(presets["tiny_gqa"]);
});

it("list and show are the same as without a word", async () => {
  expect(await runCli("presets", "list")).toEqual(await runCli("presets"));
  expect(await runCli("presets", "show", "dba")).toEqual(await runCli("presets", "dba"));
});

it.each([["copy", "dba"], ["show"], ["list", "dba"], ["dba", "x.yml"]])(
  "presets %s %s is a misuse",
  async (...words) => {
    const { code, out, err } = await runCli("presets", ...words.filter((word) => word !== undefined));
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("--help");
  },
);

it("a name that does not exist is refused with the closest", async () => {
  const { code, err } = await runCli("presets", "show", "tiny_gqq");
  expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining('did you mean "tiny_gqa"') });
});

it("schema prints what the parser's schemas say, or writes it", async () => {
  const { code, out } = await runCli("schema");
  expect({ code, schema: JSON.parse(out) }).toEqual({
    code: 0,
    schema: JSON.parse(JSON.stringify(manifestJsonSchema())),
  });
  const file = join(root, "schema.json");
  expect((await runCli("schema", "--output", file)).code).toBe(0);
  const json = await runCli("schema", "--json");
  expect(JSON.parse(json.out.trim().split("\n").at(-1) ?? "")).toMatchObject({
    ok: true,
    schema: { title: "Caramba manifest" },
  });
  const written = await runCli("schema", "--output", file, "--json");
  expect(JSON.parse(written.out)).toEqual({ ok: true, output: file });
  expect(await readFile(file, "utf8")).toBe(out);
});
