// Files that are whole or not there: written under a temporary name in the same folder, synced, renamed.
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CarambaError } from "@caramba/tensor";

/** One positional write; tests put a failing disk here. */
export type WriteBytes = (handle: FileHandle, bytes: Uint8Array, position: number) => Promise<void>;

const writeAll: WriteBytes = async (handle, bytes, position) => {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
};

/** A file in the making. Nothing is seen under `path` before `commit`; `abort` leaves nothing behind. */
export class DurableFile {
  readonly path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  readonly #write: WriteBytes;
  #open = true;

  private constructor(path: string, temporary: string, handle: FileHandle, write: WriteBytes) {
    this.path = path;
    this.#temporary = temporary;
    this.#handle = handle;
    this.#write = write;
  }

  /** Creates the folder where needed, and the temporary file. */
  static async create(path: string, write: WriteBytes = writeAll): Promise<DurableFile> {
    const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${Date.now().toString(36)}.tmp`);
    try {
      await mkdir(dirname(path), { recursive: true });
      await removeOrphans(path);
      return new DurableFile(path, temporary, await open(temporary, "wx"), write);
    } catch (error) {
      throw fileError("write", path, error);
    }
  }

  /** Writes bytes at a position. On failure the temporary file is removed and a CarambaError is thrown. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    try {
      await this.#write(this.#handle, bytes, position);
    } catch (error) {
      await this.abort();
      throw fileError("write", this.path, error);
    }
  }

  /** Syncs, and puts the file in place of an older one in a single step; `before` runs just ahead of that step. */
  async commit(before?: () => Promise<void>): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      this.#open = false;
      await before?.();
      await rename(this.#temporary, this.path);
    } catch (error) {
      await this.abort();
      throw fileError("write", this.path, error);
    }
    await syncFolder(dirname(this.path));
  }

  /** Drops the file. Safe to call more than once and after a failure. */
  async abort(): Promise<void> {
    if (this.#open) await this.#handle.close().catch(() => undefined);
    this.#open = false;
    await rm(this.#temporary, { force: true });
  }
}

/** Removes temporary files of the same name whose process was killed. */
async function removeOrphans(path: string): Promise<void> {
  const prefix = `.${basename(path)}.`;
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(prefix) || !name.endsWith(".tmp")) continue;
    const pid = Number(name.slice(prefix.length).split(".")[0]);
    if (Number.isInteger(pid) && pid > 0 && !isAlive(pid)) await rm(join(dirname(path), name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code !== "ESRCH";
  }
}

/** Writes a small text file whole or not at all. */
export async function writeFileDurably(path: string, text: string): Promise<void> {
  const file = await DurableFile.create(path);
  await file.write(new TextEncoder().encode(text), 0);
  await file.commit();
}

async function syncFolder(folder: string): Promise<void> {
  // The rename itself reaches the disk only with its folder. Windows cannot open folders: there the rename stands alone.
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: "check the path; it is taken from the working directory",
  EACCES: "give yourself the right to it, or choose another path",
  EPERM: "give yourself the right to it, or choose another path",
  EISDIR: "name a file, not a folder",
  ENOTDIR: "a part of the path is a file, not a folder",
  ENOSPC: "free some space or choose another disk; an older file of this name is untouched",
  EDQUOT: "free some of your quota or choose another disk; an older file of this name is untouched",
  EROFS: "choose a disk that can be written",
  EMFILE: "raise the limit of open files (ulimit -n)",
};

const CODES: Readonly<Record<string, string>> = { ENOENT: "missing-file", ENOSPC: "disk-full", EDQUOT: "disk-full" };

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or folder",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EISDIR: "it is a folder",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the disk is read-only",
};

/** A system error as one clear message. */
export function fileError(doing: "read" | "write", path: string, error: unknown): Error {
  if (error instanceof CarambaError) return error;
  const system = (error as { code?: unknown }).code;
  if (typeof system !== "string") return error as Error;
  const reason = REASONS[system] ?? (error as Error).message;
  const remedy = REMEDIES[system];
  return new CarambaError(`cannot ${doing} ${path}: ${reason}`, {
    code: CODES[system] ?? "file",
    cause: error,
    ...(remedy === undefined ? {} : { remedy }),
  });
}
