// Files that are there whole or not at all. Content goes to a temporary name in the same folder, is flushed to the disk,
// and takes its real name by rename, which replaces an older file in one step; the folder is flushed last. A process
// that is killed leaves only a temporary file behind. Its name says which process wrote it, so that the next writer
// in that folder can remove it once that process is gone, and never while it may still be writing.
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ownerIsGone, thisProcess } from "./process-name.ts";
import { systemCode, writeError } from "./system-error.ts";

/** The part of a Node file handle that writing needs; tests put a failing disk in its place. */
export interface WritableHandle {
  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** How a new file is created for writing. */
export type CreateFile = (path: string) => Promise<WritableHandle>;

/** A file in the making: nothing is seen under its path before `commit`. */
export class DurableFile {
  readonly path: string;
  readonly #temporary: string;
  readonly #handle: WritableHandle;
  #length = 0;
  #open = true;

  private constructor(path: string, temporary: string, handle: WritableHandle) {
    this.path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  /** Creates the temporary file; the folder must exist. @throws as `writeDurably`. */
  static async create(path: string, create: CreateFile = (temporary) => open(temporary, "wx")): Promise<DurableFile> {
    await removeStaleTemporaries(path);
    const temporary = temporaryName(path);
    const handle = await create(temporary).catch((cause: unknown) => {
      throw writeError(path, cause);
    });
    return new DurableFile(path, temporary, handle);
  }

  /** Appends. After an error nothing is left of the file. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#put(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Overwrites bytes that were already written; positions are counted from the start of the file. */
  async overwrite(position: number, bytes: Uint8Array): Promise<void> {
    await this.#put(bytes, position);
  }

  /** Flushes, and puts the file in place of an older one in one step; `before` runs just ahead of that step. */
  async commit(before?: () => Promise<void>): Promise<void> {
    await this.#orAbort(this.#handle.sync());
    this.#open = false;
    await this.#orAbort(this.#handle.close());
    try {
      await before?.();
    } catch (error) {
      await this.abort();
      throw error;
    }
    await this.#orAbort(rename(this.#temporary, this.path));
    await syncFolder(dirname(this.path)).catch((cause: unknown) => {
      throw writeError(this.path, cause);
    });
  }

  /** Drops the file. Safe to call more than once and after a failure. */
  async abort(): Promise<void> {
    if (this.#open) await this.#handle.close().catch(() => {});
    this.#open = false;
    await unlink(this.#temporary).catch(() => {});
  }

  async #put(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(bytes.length - done, 1 << 30);
      const { bytesWritten } = await this.#orAbort(this.#handle.write(bytes, done, length, position + done));
      if (bytesWritten === 0) await this.#orAbort(Promise.reject(new Error("the disk takes no more bytes")));
      done += bytesWritten;
    }
  }

  async #orAbort<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (cause) {
      await this.abort();
      throw writeError(this.path, cause);
    }
  }
}

/**
 * Creates or replaces `path` with what `produce` writes. If anything fails, `path` is as it was and the temporary file
 * is gone.
 * @throws CarambaError `disk-full`, `unwritable-file` or `missing-folder`; errors of `produce` pass through.
 */
export async function writeDurably(
  path: string,
  produce: (file: DurableFile) => Promise<void>,
  create?: CreateFile,
): Promise<void> {
  const file = await DurableFile.create(path, create);
  try {
    await produce(file);
  } catch (error) {
    await file.abort();
    throw error;
  }
  await file.commit();
}

/** Creates a folder and those above it, unless they exist. @throws CarambaError `unwritable-file`, `disk-full`. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw writeError(folder, cause);
  });
}

/** Removes a file; one that is already gone is no error. @throws CarambaError `unwritable-file`. */
export async function removeFile(path: string): Promise<void> {
  await unlink(path).catch((cause: unknown) => {
    if (systemCode(cause) !== "ENOENT") throw writeError(path, cause);
  });
}

/** Writes text durably as UTF-8. */
export async function writeTextDurably(path: string, text: string): Promise<void> {
  await writeDurably(path, (writer) => writer.write(new TextEncoder().encode(text)));
}

/** Flushes the names of a folder to the disk. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows has no way to flush a folder.
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

// .{file}.{machine}-{pid}-{start}-{random}.tmp
const temporaryPattern = /^\..+\.([0-9a-f]{8}-[0-9]+-[0-9a-f]{8})-[0-9a-f]{12}\.tmp$/;

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${thisProcess()}-${randomBytes(6).toString("hex")}.tmp`);
}

/** Removes temporary files for any target in the folder of `path` whose writers are certainly gone. */
async function removeStaleTemporaries(path: string): Promise<void> {
  const folder = dirname(path);
  const names = await readdir(folder).catch((cause: unknown) => {
    throw writeError(path, cause);
  });
  for (const name of names) {
    const [, owner] = temporaryPattern.exec(name) ?? [];
    if (owner === undefined) continue;
    const file = join(folder, name);
    // Another process may be cleaning up too.
    if (await ownerIsGone(owner, file)) await unlink(file).catch(() => {});
  }
}
