// The cache of Hugging Face's own tools, so that what one of them downloaded the others find:
//   models--org--name/blobs/<content hash>          contents
//   models--org--name/snapshots/<commit>/<path>     links to them
//   models--org--name/refs/<revision>               the commit that a branch or tag stood for
// A reference is written last, so that what it names is complete.

import { randomBytes } from "node:crypto";
import { copyFile, link, realpath, rename, stat, symlink, unlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { makeFolder, readTextFile, systemCode, writeError, writeTextDurably } from "@caramba/files";
import { type ContentHash, isCommit, type RemoteFile } from "./hub-api.ts";
import { tokenizerNames, weightNames } from "./hub-select.ts";
import { readShardNames } from "./safetensors-index.ts";

/** The part of the cache that belongs to one model. */
export class HubCache {
  readonly #folder: string;

  constructor(cacheDir: string, repository: string) {
    this.#folder = join(cacheDir, `models--${repository.replaceAll("/", "--")}`);
  }

  /** Where a content belongs. */
  blob(hash: ContentHash): string {
    return join(this.#folder, "blobs", hash.hex);
  }

  /** The files of a commit, or of a folder in it. */
  snapshot(commit: string, folder: string): string {
    return join(this.#folder, "snapshots", commit, ...folder.split("/"));
  }

  /** The commit that a revision stood for when it was last fetched; null where it never was. */
  async commitOf(revision: string): Promise<string | null> {
    if (isCommit(revision)) return revision;
    const path = join(this.#folder, "refs", ...revision.split("/"));
    const isThere = await stat(path).then(
      (found) => found.isFile(),
      () => false,
    );
    const text = isThere ? (await readTextFile(path, 1024)).trim() : "";
    return isCommit(text) ? text : null;
  }

  /** Notes what a revision stands for. */
  async remember(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || (await this.commitOf(revision)) === commit) return;
    const path = join(this.#folder, "refs", ...revision.split("/"));
    await makeFolder(dirname(path));
    await writeTextDurably(path, commit);
  }

  /** Whether a file of a commit is there, in its full size. */
  async has(commit: string, file: RemoteFile): Promise<boolean> {
    return (await sizeOf(this.snapshot(commit, file.path))) === file.size;
  }

  /** Makes the folders of a commit and of its contents. */
  async prepare(commit: string, folder: string): Promise<void> {
    await makeFolder(this.snapshot(commit, folder));
    await makeFolder(join(this.#folder, "blobs"));
  }

  /** Lets a commit's file be the content that was fetched for it. */
  async link(commit: string, file: RemoteFile): Promise<void> {
    const path = this.snapshot(commit, file.path);
    const blob = this.blob(file.hash);
    if ((await same(path, blob)) === true) return;
    const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
    try {
      await makeLink(blob, temporary);
      await rename(temporary, path);
    } catch (error) {
      await unlink(temporary).catch(() => {});
      throw writeError(path, error);
    }
  }

  /** Whether anything of a commit was ever fetched. */
  async holds(commit: string, folder: string): Promise<boolean> {
    return stat(this.snapshot(commit, folder)).then(
      () => true,
      () => false,
    );
  }

  /** What a model cannot do without and is not there; empty where the model can be opened. */
  async missing(commit: string, folder: string, pickle: boolean): Promise<string[]> {
    const place = this.snapshot(commit, folder);
    const isThere = async (name: string) => (await sizeOf(join(place, name))) !== null;
    const config = (await isThere("config.json")) ? [] : ["config.json"];
    const names = weightNames(pickle);
    for (const name of names) {
      if (!(await isThere(name))) continue;
      const lacking: string[] = [];
      if (name.endsWith(".json"))
        for (const shard of await readShardNames(join(place, name))) if (!(await isThere(shard))) lacking.push(shard);
      return [...config, ...lacking];
    }
    return [...config, ...names.slice(0, 1)];
  }

  /** The same for the tokenizer alone. */
  async missingTokenizer(commit: string, folder: string): Promise<string[]> {
    const place = this.snapshot(commit, folder);
    for (const name of tokenizerNames) if ((await sizeOf(join(place, name))) !== null) return [];
    return tokenizerNames.slice(0, 1);
  }
}

/** Size of a file, links followed; null where there is none. */
export async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    (found) => (found.isFile() ? found.size : null),
    () => null,
  );
}

async function same(path: string, blob: string): Promise<boolean> {
  return Promise.all([realpath(path), realpath(blob)]).then(
    ([a, b]) => a === b,
    () => false,
  );
}

// Windows lets only some users make symbolic links, and some file systems have none: then a second name for the same
// content, or a copy.
async function makeLink(blob: string, path: string): Promise<void> {
  try {
    await symlink(relative(dirname(path), blob), path);
  } catch (error) {
    if (!noLinks.has(systemCode(error) ?? "")) throw error;
    await link(blob, path).catch(() => copyFile(blob, path));
  }
}

const noLinks = new Set(["EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "UNKNOWN"]);
