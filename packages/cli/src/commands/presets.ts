// caramba presets: names with their first comment line, the text of one, or a copy of one to start from.
import { writeFile } from "node:fs/promises";
import { closest, presets } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import { printJson } from "../json-output.ts";

interface JsonOption {
  readonly json?: boolean;
}

/** Lists presets. Returns the exit code. */
export function listPresets({ json }: JsonOption = {}): number {
  const all = Object.entries(presets).map(([name, text]) => ({
    name,
    about: text.split("\n")[0]?.replace(/^# */, ""),
  }));
  const width = Math.max(...all.map(({ name }) => name.length));
  if (json) printJson({ ok: true, presets: all });
  else for (const { name, about } of all) process.stdout.write(`${name.padEnd(width)}  ${about}\n`);
  return 0;
}

/** Prints a preset. Returns the exit code. */
export function showPreset(name: string, { json }: JsonOption = {}): number {
  const text = presetText(name);
  if (json) printJson({ ok: true, name, text });
  else process.stdout.write(text);
  return 0;
}

/** Copies a preset to a new file. Returns the exit code. */
export async function copyPreset(name: string, file: string, { json }: JsonOption = {}): Promise<number> {
  await writeNew(file, presetText(name));
  if (json) printJson({ ok: true, name, file });
  else process.stdout.write(`${file}: a copy of ${name}\n`);
  return 0;
}

function presetText(name: string): string {
  const text = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (text !== undefined) return text;
  const near = closest(name, Object.keys(presets));
  throw new CarambaError(`there is no preset "${name}"${near === undefined ? "" : ` (did you mean "${near}"?)`}`, {
    code: "preset",
    remedy: "caramba presets lists them",
  });
}

/** Writes a file that does not exist yet: nobody's manifest is overwritten. */
export async function writeNew(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { flag: "wx" });
  } catch (cause) {
    const exists = (cause as { code?: unknown }).code === "EEXIST";
    throw new CarambaError(exists ? `${file} exists already` : `cannot write ${file}: ${(cause as Error).message}`, {
      code: "output",
      remedy: exists ? "choose another name, or remove it first" : "check the folder and its permissions",
      cause,
    });
  }
}
