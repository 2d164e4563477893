// A manifest by path, or by the name of a preset.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { presets } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";

/** Text of a manifest and the name that messages use. */
export interface LoadedManifest {
  readonly text: string;
  readonly path: string;
  readonly isPreset: boolean;
}

/** Reads a file, or takes a preset of that name (with or without `.yml`). */
export async function loadManifest(name: string): Promise<LoadedManifest> {
  if (existsSync(name)) return { text: await readManifest(name), path: name, isPreset: false };
  const preset = name.replace(/\.ya?ml$/, "");
  const text = Object.hasOwn(presets, preset) ? presets[preset] : undefined;
  if (text !== undefined) return { text, path: `${preset}.yml`, isPreset: true };
  throw new CarambaError(`there is no manifest ${name}`, {
    code: "missing-file",
    remedy: "give the path of a .yml or .json file, or a preset's name (caramba presets lists them)",
  });
}

async function readManifest(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const folder = (cause as { code?: unknown }).code === "EISDIR";
    throw new CarambaError(
      `cannot read the manifest ${path}: ${folder ? "it is a folder" : (cause as Error).message}`,
      {
        code: "manifest",
        remedy: folder ? "name the .yml or .json file in it" : "check the path and its permissions",
        cause,
      },
    );
  }
}
