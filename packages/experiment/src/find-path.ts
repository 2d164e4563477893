// Where a manifest's relative paths are looked for.
import { existsSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";

/** Finds a path: absolute, below the working folder, beside the manifest, below ./data. */
export function findPath(path: string, manifestPath: string | null): string | undefined {
  const places = isAbsolute(path)
    ? [path]
    : [resolve(path), ...(manifestPath ? [resolve(dirname(manifestPath), path)] : []), resolve("data", path)];
  return places.find((place) => existsSync(place));
}
