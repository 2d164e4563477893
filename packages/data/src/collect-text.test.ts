// Corpora from folders laid out as npm and as pnpm lay them out.
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CollectTextOptions, collectText } from "./collect-text.ts";
import type { TextDocument } from "./documents.ts";
import { compareVersions } from "./find-text-files.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-collect-"));
});
afterEach(() => rm(folder, { recursive: true }));

const put = (path: string, content: string | Uint8Array): string => {
  const full = join(folder, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  return full;
};
const putPackage = (
  at: string,
  name: string,
  version: string,
  files: Record<string, string>,
  more: object = {},
): void => {
  put(`${at}/package.json`, JSON.stringify({ name, version, ...more }));
  for (const [file, content] of Object.entries(files)) put(`${at}/${file}`, content);
};
const documentsOf = async (options: CollectTextOptions): Promise<TextDocument[]> => {
  const documents: TextDocument[] = [];
  for await (const document of (await collectText(options)).documents()) documents.push(document);
  return documents;
};
const namesOf = async (options: CollectTextOptions): Promise<string[]> =>
  (await documentsOf(options)).map(({ name }) => name).sort();

const alpha = { "README.md": "# alpha\n", "dist/index.d.ts": "export const alpha: 1;\n" };
const beta = { "readme.md": "# beta\n", "deep/er/x.d.ts": "export const beta: 2;\n", "x.js": "no" };

describe("packages", () => {
  it("give one corpus whether npm or pnpm installed them, whatever the folder", async () => {
    putPackage("npm/node_modules/alpha", "alpha", "1.0.0", alpha);
    putPackage("npm/node_modules/alpha/node_modules/@scope/beta", "@scope/beta", "2.0.0", beta);
    const store = "pnpm/node_modules/.pnpm";
    putPackage(`${store}/alpha@1.0.0_peer@1/node_modules/alpha`, "alpha", "1.0.0", alpha);
    putPackage(`${store}/alpha@1.0.0_peer@2/node_modules/alpha`, "alpha", "1.0.0", alpha);
    putPackage(`${store}/@scope+beta@2.0.0/node_modules/@scope/beta`, "@scope/beta", "2.0.0", beta);
    const link = (to: string, at: string): void => {
      mkdirSync(dirname(join(folder, at)), { recursive: true });
      symlinkSync(join(folder, to), join(folder, at), "dir");
    };
    link(`${store}/alpha@1.0.0_peer@1/node_modules/alpha`, "pnpm/node_modules/alpha");
    link(`${store}/@scope+beta@2.0.0/node_modules/@scope/beta`, `${store}/alpha@1.0.0_peer@1/node_modules/@scope/beta`);
    link(`${store}/alpha@1.0.0_peer@1/node_modules/alpha`, `${store}/node_modules/alpha`);

    const npm = await collectText({ inputs: [join(folder, "npm/node_modules")] });
    const pnpm = await collectText({ inputs: [join(folder, "pnpm/node_modules")] });
    expect(npm.manifest.files).toEqual(pnpm.manifest.files);
    expect(npm.manifest.sha256).toBe(pnpm.manifest.sha256);
    expect(npm.manifest.files.map(({ name }) => name).sort()).toEqual([
      "@scope/beta@2.0.0/deep/er/x.d.ts",
      "@scope/beta@2.0.0/readme.md",
      "alpha@1.0.0/README.md",
      "alpha@1.0.0/dist/index.d.ts",
    ]);
    // Negative control: another content is another corpus.
    put("npm/node_modules/alpha/README.md", "# Alpha\n");
    expect((await collectText({ inputs: [join(folder, "npm/node_modules")] })).manifest.sha256).not.toBe(
      npm.manifest.sha256,
    );
  });

  it("leave out links, platform packages, old versions, copies and what is not prose or types", async () => {
    const root = "p/node_modules";
    putPackage(`${root}/a`, "a", "1.10.0", {
      "README.md": "new\n",
      "copy.md": "new\n",
      "esm.d.ts": `export declare function one(): void;\n${"export declare const a: number;\n".repeat(9)}`,
      "cjs.d.ts": `export declare function two(): void;\n${"export declare const a: number;\n".repeat(9)}`,
      "LICENSE.md": "licence\n",
      "CHANGELOG.md": "changes\n",
      "min.d.ts": `${"x".repeat(3000)}\n`,
      "nul.md": "a\0b",
      "blank.md": " \n",
      "big.md": "line\n".repeat(60_000),
    });
    put(`${root}/a/latin1.md`, Uint8Array.of(0x61, 0xe9, 0x0a));
    putPackage(`${root}/b/node_modules/a`, "a", "1.9.0", { "README.md": "old\n" });
    putPackage(`${root}/a-linux`, "a-linux", "1.0.0", { "README.md": "linux\n" }, { os: ["linux"] });
    put("outside/secret.md", "secret\n");
    symlinkSync(join(folder, "outside"), join(folder, root, "c"), "dir");
    symlinkSync(join(folder, "outside/secret.md"), join(folder, root, "a", "link.md"));
    const { manifest } = await collectText({ inputs: [join(folder, root)] });
    const names = manifest.files.map(({ name }) => name).sort();
    expect(names).toHaveLength(2);
    expect(names[0]).toMatch(/^a@1\.10\.0\/(README|copy)\.md$/);
    expect(names[1]).toMatch(/^a@1\.10\.0\/(esm|cjs)\.d\.ts$/);
    expect(manifest.skipped).toEqual({
      "symbolic link": 1,
      "package for one platform": 1,
      "older version of a package": 1,
      "licence or change log": 2,
      "overlong line": 1,
      binary: 1,
      empty: 1,
      "too large": 1,
      "not UTF-8": 1,
      "copy or near copy": 2,
    });
  });

  it("are compared by semantic version", () => {
    const sorted = ["1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0", "0.0.34"].sort(compareVersions);
    expect(sorted).toEqual(["0.0.34", "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]);
  });
});

describe("files and folders that the user names", () => {
  it("take named files whole, of any kind and size, in pieces that join to the file", async () => {
    const text = `${"a line of text, with words\n".repeat(400_000)}end`;
    const path = put("book.log", text);
    const documents = await documentsOf({ inputs: [path] });
    expect(documents.length).toBeGreaterThan(1);
    expect(documents.map(({ text: piece }) => piece).join("")).toBe(text);
    expect(documents.map(({ continues }) => continues === true)).toEqual(
      documents.map((_, i) => i + 1 < documents.length),
    );
  });

  it("search folders for the extensions asked for", async () => {
    put("f/a.txt", "a\n");
    put("f/sub/b.txt", "b\n");
    put("f/c.md", "c\n");
    put("f/.git/d.txt", "d\n");
    expect(await namesOf({ inputs: [join(folder, "f")], extensions: [".txt"] })).toEqual(["a.txt", "sub/b.txt"]);
  });

  it("cut at a line end when the budget is used up, wherever that is", async () => {
    const path = put("a.txt", "one\ntwo\nthrée\n");
    for (const [maxBytes, text] of [
      [8, "one\ntwo\n"],
      [9, "one\ntwo\n"],
      [11, "one\ntwo\n"],
      [15, "one\ntwo\nthrée\n"],
      [2, "on"],
    ] as const) {
      const corpus = await collectText({ inputs: [path], maxBytes });
      let got = "";
      for await (const document of corpus.documents()) got += document.text;
      expect(got).toBe(text);
      expect(corpus.manifest.bytes).toBe(Buffer.byteLength(text));
    }
    for (let i = 0; i < 50; i++) put(`many/${i}.md`, `file ${i}\n`.repeat(10));
    const corpus = await collectText({ inputs: [join(folder, "many")], maxBytes: 1000 });
    expect(corpus.manifest.bytes).toBeLessThanOrEqual(1000);
    expect(corpus.manifest.bytes).toBeGreaterThan(990);
    // A sample of all, not the first in order of names.
    expect(corpus.manifest.files.map(({ name }) => name)).not.toEqual(
      readdirSync(join(folder, "many")).slice(0, corpus.manifest.files.length),
    );
  });

  it("end with one clear message when there is nothing to read", async () => {
    await expect(collectText({ inputs: [join(folder, "absent")] })).rejects.toMatchObject({
      code: "missing-file",
      message: `${join(folder, "absent")}: no such file`,
    });
    mkdirSync(join(folder, "empty"));
    await expect(collectText({ inputs: [join(folder, "empty")] })).rejects.toThrow(/no text found in .*empty/);
    const latin1 = put("latin1.txt", Uint8Array.of(0x61, 0xe9, 0x0a));
    await expect(collectText({ inputs: [latin1] })).rejects.toThrow(/latin1\.txt is not text in UTF-8/);
    const cut = put("cut.txt", Uint8Array.of(0x61, 0xc3));
    await expect(collectText({ inputs: [cut] })).rejects.toThrow(/cut\.txt is not text in UTF-8/);
    const nul = put("nul.txt", "a\0b");
    await expect(collectText({ inputs: [nul] })).rejects.toThrow(/NUL/);
  });

  it("notice a file that changes between collecting and reading", async () => {
    const path = put("a.txt", "one\n");
    const corpus = await collectText({ inputs: [path] });
    put("a.txt", "two\n");
    await expect(async () => {
      for await (const _ of corpus.documents());
    }).rejects.toThrow(/changed while/);
  });
});
