// How long a shell waits for the command's help: the wall time of a whole process.
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { median, range } from "./statistics.ts";

const call = promisify(execFile);

/** Median and range of `caramba --help` over ten runs, in ms; an Error when it does not work. */
export async function helpTime(): Promise<{ medianMs: number; spreadMs: readonly [number, number] } | Error> {
  const manifest = createRequire(import.meta.url).resolve("@caramba/cli/package.json");
  const command = join(dirname(manifest), "bin", "caramba.js");
  const times: number[] = [];
  try {
    for (let i = 0; i < 10; i++) {
      const begin = performance.now();
      const { stdout } = await call(process.execPath, [command, "--help"]);
      if (!/usage/i.test(stdout)) return new Error("caramba --help printed no usage");
      times.push(performance.now() - begin);
    }
  } catch (error) {
    return error as Error;
  }
  return { medianMs: median(times), spreadMs: range(times) };
}
