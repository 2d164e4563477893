// pm.mjs in a folder of its own (with a space in its path), with a stand-in for npx and for the command line.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";

let root;
const file = (path, text) => {
  mkdirSync(join(root, path, ".."), { recursive: true });
  writeFileSync(join(root, path), text);
};
const calls = () =>
  existsSync(join(root, "calls")) ? readFileSync(join(root, "calls"), "utf8").trim().split("\n") : [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "caramba pm "));
  file("package.json", JSON.stringify({ type: "module", packageManager: "pnpm@1.2.3", engines: { node: ">=20.1.0" } }));
  mkdirSync(join(root, "tools"));
  copyFileSync(fileURLToPath(new URL("pm.mjs", import.meta.url)), join(root, "tools/pm.mjs"));
  file("bin/npx", `#!/bin/sh\necho "$@" >> "${root}/calls"\nexit \${NPX_STATUS:-0}\n`);
  chmodSync(join(root, "bin/npx"), 0o755);
});
afterEach(() => rmSync(root, { recursive: true }));

function start(args, env = {}) {
  const child = spawn(process.execPath, [join(root, "tools/pm.mjs"), ...args], {
    cwd: tmpdir(),
    env: { ...process.env, PATH: `${join(root, "bin")}${delimiter}${process.env.PATH}`, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (out += text));
  return { child, exit: once(child, "close").then(([code]) => ({ code, out })) };
}

it("installs, builds and hands over the arguments and the exit code", async () => {
  file("packages/cli/dist/bin.js", "console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;");
  const { code, out } = await start(["start", "--input", "a b"]).exit;
  expect({ code, out }).toEqual({ code: 7, out: '["quickstart","--input","a b"]\n' });
  expect(calls()).toEqual([
    "--yes --prefer-offline --package=pnpm@1.2.3 -- pnpm install --frozen-lockfile --prefer-offline",
    "--yes --prefer-offline --package=pnpm@1.2.3 -- pnpm run build",
  ]);
});

it("stops at the first step that fails", async () => {
  file("packages/cli/dist/bin.js", "console.log('ran')");
  expect(await start(["start"], { NPX_STATUS: "3" }).exit).toEqual({ code: 3, out: "" });
  expect(calls()).toHaveLength(1);
});

it.each(["SIGINT", "SIGTERM"])("passes %s on and waits until the task has saved its state", async (signal) => {
  file(
    "packages/cli/dist/bin.js",
    `process.on("${signal}", () => setTimeout(() => { console.log("saved"); process.exit(5); }, 300));
     setTimeout(() => process.exit(9), 20_000); console.log("ready");`,
  );
  const { child, exit } = start(["start"]);
  await once(child.stdout, "data");
  child.kill(signal);
  expect(await exit).toEqual({ code: 5, out: "ready\nsaved\n" });
});

it("reports a task that a signal ended", async () => {
  file("packages/cli/dist/bin.js", 'process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1000);');
  expect((await start(["start"]).exit).code).toBe(137);
});

it("refuses an unknown task and a Node that is too old", async () => {
  expect((await start(["fly"]).exit).code).toBe(2);
  file("package.json", JSON.stringify({ packageManager: "pnpm@1.2.3", engines: { node: "^999.1.0" } }));
  const { code, out } = await start(["start"]).exit;
  expect(code).toBe(1);
  expect(out).toContain("needs Node 999.1 or newer");
  expect(calls()).toEqual([]);
});
