// caramba presets: names with their first comment line, the text of one, or a copy of one to start from.
import { writeFile } from "node:fs/promises";
import { presets } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";

/** Lists presets, or prints one. Returns the exit code. */
export function showPresets(name?: string): number {
  if (name === undefined) {
    const width = Math.max(...Object.keys(presets).map((n) => n.length));
    for (const [preset, text] of Object.entries(presets))
      process.stdout.write(`${preset.padEnd(width)}  ${text.split("\n")[0]?.replace(/^# */, "")}\n`);
    return 0;
  }
  process.stdout.write(presetText(name));
  return 0;
}

/** `presets`, `presets NAME`, `presets list`, `presets show NAME`, `presets copy NAME FILE`. Returns the exit code. */
export async function presetsCommand(first?: string, rest: readonly string[] = []): Promise<number> {
  const words =
    first === undefined
      ? ["list"]
      : ["list", "show", "copy"].includes(first)
        ? [first, ...rest]
        : ["show", first, ...rest];
  const [action, name, file] = words;
  const wanted = action === "copy" ? 3 : action === "show" ? 2 : 1;
  if (words.length !== wanted)
    throw new CarambaError(`presets ${action} takes ${wanted - 1} arguments, found ${words.length - 1}`, {
      code: "usage",
      remedy: "caramba presets list, caramba presets show <name>, or caramba presets copy <name> <file>",
    });
  if (action !== "copy") return showPresets(name);
  await writeNew(file as string, presetText(name as string));
  process.stdout.write(`${file}: a copy of ${name}\n`);
  return 0;
}

function presetText(name: string): string {
  const text = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (text === undefined)
    throw new CarambaError(`there is no preset "${name}"`, { code: "preset", remedy: "caramba presets lists them" });
  return text;
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
