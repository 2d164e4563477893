// The documentation does what it says: links lead somewhere, commands exist, examples run as they are printed.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "@caramba/cli";
import { presets } from "@caramba/config";
import { afterAll, describe, expect, it, vi } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const pages = [
  "README.md",
  "examples/README.md",
  "benchmarks/README.md",
  ...readdirSync(join(root, "packages")).flatMap((name) => {
    const page = join("packages", name, "README.md");
    return existsSync(join(root, page)) ? [page] : [];
  }),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).flatMap((name) =>
    name.endsWith(".md") ? [join("docs", name)] : [],
  ),
];
const read = (page: string): string => readFileSync(join(root, page), "utf8");
const blocks = (page: string, language: string): string[] =>
  [...read(page).matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map((match) => match[1] ?? "");

describe.each(pages)("%s", (page) => {
  it("links to files that exist", () => {
    const links = [...read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] as string);
    const local = links.filter((link) => !link.includes(":"));
    expect(local.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([]);
  });

  it("names scripts of package.json and examples that exist", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const run = [...read(page).matchAll(/\bp?npm run ([a-z:]+)/g)].map((match) => match[1] as string);
    for (const [, name] of read(page).matchAll(/`(?:p?npm) (start|test)\b/g)) run.push(name as string);
    expect(run.filter((name) => !(name in scripts))).toEqual([]);
    const examples = [...read(page).matchAll(/\bexamples\/dist\/([\w-]+)\.js/g)].map((match) => match[1] as string);
    expect(examples.filter((name) => !existsSync(join(root, "examples", `${name}.ts`)))).toEqual([]);
  });
});

/** Runs a command line; returns its exit code and what it printed. */
async function caramba(args: readonly string[]): Promise<{ readonly code: number; readonly shown: string }> {
  let shown = "";
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    shown += String(text);
    return true;
  });
  const log = vi.spyOn(console, "log").mockImplementation((...values) => {
    shown += `${values.join(" ")}\n`;
  });
  try {
    const code = await main(args);
    return { code, shown };
  } finally {
    out.mockRestore();
    log.mockRestore();
  }
}

describe("the README's command lines", () => {
  const lines = blocks("README.md", "sh")
    .flatMap((block) => block.split("\n"))
    .map((line) => line.replace(/\s*#.*$/, "").trim())
    .filter((line) => line !== "");

  it("are those that are known", () => {
    expect(lines.filter((line) => line.startsWith("npm "))).toEqual([
      "npm start",
      "npm start -- --input path/to/text.txt",
      "npm test",
    ]);
    expect(lines.filter((line) => !/^(npm|\.\/node_modules\/\.bin\/caramba) /.test(line))).toEqual([]);
  });

  it.each(
    lines.flatMap((line) => {
      const [, args] = /^\.\/node_modules\/\.bin\/caramba (.*)$/.exec(line) ?? [];
      return args === undefined ? [] : [args];
    }),
  )("caramba %s: the command knows its options", async (args) => {
    const [command = ""] = args.split(" ");
    const { code, shown: help } = await caramba(command.startsWith("--") ? [command] : [command, "--help"]);
    expect(code).toBe(0);
    expect(help).toContain("Usage: caramba");
    for (const [option] of args.matchAll(/--[a-z-]+/g)) expect(help).toContain(option);
  });

  it("list the presets and show a plan", async () => {
    const list = await caramba(["presets"]);
    for (const name of Object.keys(presets)) expect(list.shown).toContain(name);
    const compiled = lines.flatMap((line) => /caramba (compile .*)$/.exec(line)?.[1]?.split(" ") ?? []);
    const { code, shown } = await caramba(compiled);
    expect(code).toBe(0);
    expect(shown).toContain("AttentionLayer");
  });
});

describe("examples in the documentation run as they are printed", () => {
  // Below dist/, where imports find the packages and no other check looks; removed afterwards.
  const folder = join(root, "examples", "dist", `printed-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  afterAll(() => rmSync(folder, { recursive: true }));

  const printed = ["README.md", "docs/adding-things.md"].flatMap((page) =>
    blocks(page, "ts").map((code, i) => ({ page, i, code })),
  );

  it.each(printed)("$page, example $i", async ({ page, i, code }) => {
    const path = join(folder, `${page.replaceAll(/\W/g, "-")}-${i}.ts`);
    writeFileSync(path, `${code}\nexport {};\n`);
    const lines: string[] = [];
    const log = vi.spyOn(console, "log").mockImplementation((...values) => {
      lines.push(values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join(" "));
    });
    try {
      await import(path);
    } finally {
      log.mockRestore();
    }
    // What the comment beside each console.log promises, up to ":" or ";".
    const promised = [...code.matchAll(/^console\.log\(.*\); \/\/ (.*)$/gm)].map((match) => match[1] as string);
    expect(lines).toHaveLength(promised.length);
    promised.forEach((promise, k) => {
      const value = promise.includes(": ") ? promise.slice(promise.lastIndexOf(": ") + 2) : promise;
      expect(value.replaceAll(" ", "")).toContain((lines[k] as string).replaceAll(" ", ""));
    });
  });
});
