// Lists text files below a folder, the same list on each machine with the same packages: symbolic links are not
// followed (in pnpm's layout every package then appears once, in the store), packages for one platform only are left
// out, and of a package in several versions only the highest is taken. Names say package@version/path, not where the
// package manager put it.

import { type Dirent, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readError } from "@caramba/files";
import { isRecord } from "./tokenizer-json.ts";

/** A candidate: where it lies and what it is called in the corpus. */
export interface FoundFile {
  readonly path: string;
  readonly name: string;
}

interface PackageInfo {
  readonly name: string;
  readonly version: string;
}

/** Files below `root` whose names end in one of `extensions`, in no particular order; `skip` counts what is left out. */
export function findTextFiles(
  root: string,
  extensions: readonly string[],
  skip: (reason: string, count?: number) => void,
): FoundFile[] {
  const byPackage = new Map<string, Map<string, FoundFile[]>>();
  const loose: FoundFile[] = [];

  const walk = (folder: string, prefix: string, inside: PackageInfo | undefined): void => {
    for (const entry of list(folder)) {
      const path = join(folder, entry.name);
      const name = `${prefix}/${entry.name}`;
      if (entry.isDirectory()) {
        if (entry.name === "node_modules") walkPackages(path, name);
        else if (!entry.name.startsWith(".")) walk(path, name, inside);
      } else if (extensions.some((extension) => entry.name.endsWith(extension))) {
        if (!entry.isFile()) skip("symbolic link");
        else if (inside === undefined) loose.push({ path, name });
        else {
          const versions = byPackage.get(inside.name) ?? new Map<string, FoundFile[]>();
          byPackage.set(inside.name, versions);
          const files = versions.get(inside.version) ?? [];
          versions.set(inside.version, files);
          files.push({ path, name });
        }
      }
    }
  };
  // A node_modules folder: packages, scopes (@x/y), and pnpm's store of further node_modules folders.
  const walkPackages = (folder: string, prefix: string): void => {
    for (const entry of list(folder)) {
      if (!entry.isDirectory()) continue;
      const path = join(folder, entry.name);
      if (entry.name === ".pnpm") {
        for (const stored of list(path)) {
          if (stored.isDirectory()) walk(join(path, stored.name), `${prefix}/${stored.name}`, undefined);
        }
      } else if (entry.name.startsWith("@")) walkPackages(path, prefix);
      else if (!entry.name.startsWith(".")) walkPackage(path, `${prefix}/${entry.name}`);
    }
  };
  const walkPackage = (folder: string, prefix: string): void => {
    const info = readPackage(folder);
    if (info === "platform") skip("package for one platform");
    else walk(folder, info === undefined ? prefix : `${info.name}@${info.version}`, info);
  };

  if (/(^|[\\/])node_modules[\\/]*$/.test(root)) walkPackages(root, "node_modules");
  else walk(root, "", undefined);

  const files = loose.map(({ path, name }) => ({ path, name: name.replace(/^\//, "") }));
  for (const versions of byPackage.values()) {
    const [highest, ...rest] = [...versions.keys()].sort((a, b) => compareVersions(b, a));
    files.push(...(versions.get(highest as string) as FoundFile[]));
    for (const version of rest) skip("older version of a package", versions.get(version)?.length);
  }
  return files;
}

function list(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw readError(folder, error, "read");
  }
}

function readPackage(folder: string): PackageInfo | "platform" | undefined {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  } catch {
    // Not a package: its files are named by where they are.
    return undefined;
  }
  if (!isRecord(json) || typeof json["name"] !== "string" || typeof json["version"] !== "string") return undefined;
  if (["os", "cpu", "libc"].some((key) => json[key] !== undefined)) return "platform";
  return { name: json["name"], version: json["version"] };
}

/** Semantic version order: numbers by value; a pre-release comes before its release. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => {
    const [release = "", ...pre] = (version.split("+")[0] as string).split("-");
    return { release: release.split("."), pre: pre.join("-") };
  }) as [{ release: string[]; pre: string }, { release: string[]; pre: string }];
  for (let i = 0; i < 3; i++) {
    const difference = Number(left.release[i] ?? 0) - Number(right.release[i] ?? 0);
    if (difference !== 0 && !Number.isNaN(difference)) return difference;
  }
  if (left.pre === right.pre) return 0;
  if (left.pre === "") return 1;
  if (right.pre === "") return -1;
  return left.pre < right.pre ? -1 : 1;
}
