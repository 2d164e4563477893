// Files that are there whole or not at all. Content goes to a temporary name in the same folder, is flushed to the disk,
// and takes its real name by rename, which replaces an older file in one step; the folder is flushed last. A process
// that is killed leaves only a temporary file behind. Its name says which process wrote it, so that the next writer
// in that folder can remove it once that process is gone, and never while it may still be writing.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { CarambaError } from "@caramba/tensor";
import { systemCode } from "./random-access.ts";

/** Writes bytes; positions are counted from the start of the file. */
export interface FileWriter {
  /** Appends. */
  write(bytes: Uint8Array): Promise<void>;
  /** Overwrites bytes that were already written. */
  overwrite(position: number, bytes: Uint8Array): Promise<void>;
}

/** The part of a Node file handle that writing needs; tests put a failing disk in its place. */
export interface WritableHandle {
  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** How a new file is created for writing. */
export type CreateFile = (path: string) => Promise<WritableHandle>;

const foreignLifetime = 24 * 3600 * 1000;

/**
 * Creates or replaces `path` with what `produce` writes. If anything fails, `path` is as it was and the temporary file
 * is gone.
 * @throws CarambaError `disk-full`, `unwritable-file` or `missing-folder`; errors of `produce` pass through.
 */
export async function writeDurably(
  path: string,
  produce: (writer: FileWriter) => Promise<void>,
  create: CreateFile = (temporary) => open(temporary, "wx"),
): Promise<void> {
  await removeStaleTemporaries(path);
  const temporary = temporaryName(path);
  const orRefuse = <T>(step: Promise<T>): Promise<T> =>
    step.catch((cause: unknown) => {
      throw writeError(path, cause);
    });
  const handle = await orRefuse(create(temporary));
  try {
    try {
      await produce(fileWriter(handle, orRefuse));
      await orRefuse(handle.sync());
    } finally {
      await orRefuse(handle.close());
    }
    await orRefuse(rename(temporary, path));
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await orRefuse(syncFolder(dirname(path)));
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

function fileWriter(handle: WritableHandle, orRefuse: <T>(step: Promise<T>) => Promise<T>): FileWriter {
  const put = async (bytes: Uint8Array, position: number): Promise<void> => {
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(bytes.length - done, 1 << 30);
      const { bytesWritten } = await orRefuse(handle.write(bytes, done, length, position + done));
      if (bytesWritten === 0) await orRefuse(Promise.reject(new Error("the disk takes no more bytes")));
      done += bytesWritten;
    }
  };
  let length = 0;
  return {
    async write(bytes) {
      await put(bytes, length);
      length += bytes.length;
    },
    overwrite: (position, bytes) => put(bytes, position),
  };
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

/** This process, as part of a file's name: letters, digits and dashes. */
export function thisProcess(): string {
  return `${machine()}-${process.pid}-${processStart(process.pid) ?? "00000000"}`;
}

/** Whether the process that gave a file `owner` (of `thisProcess`) in its name is certainly gone. */
export async function ownerIsGone(owner: string, file: string): Promise<boolean> {
  const [host, pid, start = ""] = owner.split("-");
  return host === machine() ? isGone(Number(pid), start) : isOld(file);
}

function isGone(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === "ESRCH";
  }
  // The number lives, but it may have been given to another process since.
  const now = processStart(pid);
  return now !== undefined && now !== start;
}

async function isOld(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > foreignLifetime;
}

let machineName: string | undefined;

// Process numbers mean something only within one machine and one namespace (containers share folders, not numbers).
function machine(): string {
  if (machineName === undefined) {
    let namespace = "";
    try {
      namespace = readlinkSync("/proc/self/ns/pid");
    } catch {
      // Not Linux: one namespace for all.
    }
    machineName = digest(`${hostname()} ${namespace}`);
  }
  return machineName;
}

// When a process began: its number together with this is never used twice. Known on Linux only.
function processStart(pid: number): string | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const status = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field, the command in parentheses, may hold spaces; the start time is field 22.
    const fields = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return digest(`${boot} ${fields[19]}`);
  } catch {
    return undefined;
  }
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

/** An error of the operating system while writing, with its remedy; a CarambaError passes through. */
export function writeError(path: string, cause: unknown, left = "nothing was left behind"): CarambaError {
  if (cause instanceof CarambaError) return cause;
  const code = systemCode(cause);
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new CarambaError(`${path}: cannot be written: ${fullReason[code]}; ${left}`, {
        code: "disk-full",
        remedy: "Free space (older checkpoints, for example) or choose another folder, then run again.",
        cause,
      });
    case "ENOENT":
    case "ENOTDIR":
      return new CarambaError(`${path}: its folder does not exist`, {
        code: "missing-folder",
        remedy: "Create the folder, or choose another.",
        cause,
      });
    default: {
      const reason = cause instanceof Error ? cause.message : String(cause);
      return new CarambaError(`${path}: cannot be written (${reason})`, {
        code: "unwritable-file",
        remedy: "Check that the folder is there and may be written to.",
        cause,
      });
    }
  }
}

const fullReason = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would be larger than allowed here",
} as const;
