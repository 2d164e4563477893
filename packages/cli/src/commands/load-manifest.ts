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
  return decoded(await readBytes(path), path);
}

/** UTF-8, with or without its mark. What is no UTF-8 is refused: replacement characters would change names in silence. */
function decoded(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const utf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
    // Where replacing begins: the text before it is good.
    const before = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes).split("\ufffd", 1)[0] ?? "";
    const line = before.split("\n").length;
    const place = utf16 ? path : `${path}:${line}:${before.length - before.lastIndexOf("\n")}`;
    throw new CarambaError(`${place}: expected text in UTF-8, found ${utf16 ? "UTF-16" : "a byte that is none"}`, {
      code: "encoding",
      remedy: "save the manifest as UTF-8",
      cause,
    });
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
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
