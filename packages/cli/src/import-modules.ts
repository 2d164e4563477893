// --import: runs a module before the command, for what it registers (layers of one's own). This is code that the user
// names on the command line; a manifest cannot name any.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { CarambaError } from "@caramba/tensor";

/** Imports modules in order: paths from the working folder, or packages installed there. */
export async function importModules(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const file = locate(name);
    demandOurPackages(name, file);
    try {
      await import(pathToFileURL(file).href);
    } catch (cause) {
      throw new CarambaError(`--import ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, {
        code: "import",
        remedy: file.endsWith(".ts")
          ? "name the JavaScript that TypeScript compiles it to, or use a Node that reads TypeScript (22.18 and later)"
          : "correct the module; it runs by itself with node too",
        cause,
      });
    }
  }
}

/** What a module registers with another copy of the packages, this command would never see. */
function demandOurPackages(name: string, file: string): void {
  const layers = packageAt(file, "@caramba/layers");
  const theirs = layers && packageAt(layers, "@caramba/config");
  const ours = packageAt(import.meta.filename, "@caramba/config");
  if (!theirs || !ours || theirs === ours) return;
  throw new CarambaError(
    `--import ${name}: it registers its layers with another copy of the packages (${dirname(theirs)}) than this command reads (${dirname(ours)})`,
    { code: "import", remedy: "install @caramba/cli beside @caramba/layers, and run it by npx caramba" },
  );
}

/** package.json of a package as a file would import it; undefined where it is not installed. */
function packageAt(file: string, name: string): string | undefined {
  try {
    return createRequire(file).resolve(`${name}/package.json`);
  } catch {
    return undefined;
  }
}

function locate(name: string): string {
  const path = resolve(name);
  if (existsSync(path)) return path;
  try {
    return createRequire(join(process.cwd(), "module.js")).resolve(name);
  } catch (cause) {
    throw new CarambaError(`--import ${name}: there is no such file, nor a package of that name`, {
      code: "import",
      remedy: "give the path of a JavaScript module, or the name of an installed package",
      cause,
    });
  }
}
