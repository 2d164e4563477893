// --import: modules run in order, and those that would register layers with another copy of the packages are refused.
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { importModules } from "./import-modules.ts";

const root = await mkdtemp(join(tmpdir(), "caramba-import-"));
afterAll(() => rm(root, { recursive: true }));

/** A folder with a module in it, and packages as they are found from there. */
async function project(name: string, packages: "none" | "ours" | "a copy"): Promise<string> {
  const folder = join(root, name);
  const installed = join(folder, "node_modules", "@caramba");
  await mkdir(installed, { recursive: true });
  for (const part of ["config", "layers"])
    if (packages === "ours")
      await symlink(fileURLToPath(new URL(`../../${part}`, import.meta.url)), join(installed, part));
    else if (packages === "a copy") {
      await mkdir(join(installed, part));
      await writeFile(join(installed, part, "package.json"), JSON.stringify({ name: `@caramba/${part}` }));
    }
  const file = join(folder, "mine.mjs");
  await writeFile(file, `(globalThis.importedInTest ??= []).push(${JSON.stringify(name)});\n`);
  return file;
}

const imported = () => (globalThis as { importedInTest?: string[] }).importedInTest ?? [];

it("runs modules in order, whether they use the packages or not", async () => {
  await importModules([await project("first", "ours"), await project("second", "none")]);
  expect(imported()).toEqual(["first", "second"]);
});

it("refuses one that uses another copy of the packages, before it runs", async () => {
  const file = await project("other", "a copy");
  await expect(importModules([file])).rejects.toMatchObject({
    code: "import",
    message: expect.stringContaining(join(dirname(file), "node_modules", "@caramba", "config")) as string,
    remedy: expect.stringContaining("npx caramba") as string,
  });
  expect(imported()).not.toContain("other");
});

it("says what is not there, and what does not run", async () => {
  await expect(importModules([join(root, "none.mjs")])).rejects.toThrow(/there is no such file/);
  const broken = join(root, "broken.mjs");
  await writeFile(broken, "throw new Error('mine');\n");
  await expect(importModules([broken])).rejects.toThrow(/broken\.mjs: mine/);
});
