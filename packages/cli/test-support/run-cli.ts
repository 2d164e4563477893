// Running the command in tests: in this process from source, or as users do, as a process of its own from the build.
import { type SpawnOptions, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { main } from "../src/main.ts";

/** What a command left behind. */
export interface CliOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `caramba <args>` in this process. */
export async function runCli(...args: string[]): Promise<CliOutcome> {
  const text = { out: "", err: "" };
  const capture = (key: "out" | "err") => (chunk: unknown) => {
    text[key] += chunk instanceof Uint8Array ? Buffer.from(chunk).toString() : String(chunk);
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation(capture("out")),
    vi.spyOn(process.stderr, "write").mockImplementation(capture("err")),
  ];
  try {
    return { code: await main(args), ...text };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** The file that an install links as `caramba`. */
export const bin: string = fileURLToPath(new URL("../bin/caramba.js", import.meta.url));

/** Runs a command line to its end; `onText` sees standard error as it comes and may signal the process. */
export async function spawnText(
  command: string,
  args: readonly string[],
  options: SpawnOptions & {
    input?: string;
    onText?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  } = {},
): Promise<CliOutcome & { readonly signal: NodeJS.Signals | null }> {
  if (!existsSync(new URL("../dist/bin.js", import.meta.url))) throw new Error("build first: npm run build");
  const { input = "", onText, ...rest } = options;
  const child = spawn(command, args, { ...rest, stdio: ["pipe", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout?.on("data", (chunk) => {
    out += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    err += chunk;
    onText?.(err, (signal) => child.kill(signal));
  });
  child.stdin?.end(input);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code: code ?? -1, out, err, signal }));
  });
}

/** Runs `caramba <args>` as a process. */
export function spawnCli(
  args: readonly string[],
  options: Parameters<typeof spawnText>[2] = {},
): ReturnType<typeof spawnText> {
  return spawnText(process.execPath, [bin, ...args], options);
}
