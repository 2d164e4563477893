// caramba presets: names with their first comment line, or the text of one.
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
  const text = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (text === undefined)
    throw new CarambaError(`there is no preset "${name}"`, { code: "preset", remedy: "caramba presets lists them" });
  process.stdout.write(text);
  return 0;
}
