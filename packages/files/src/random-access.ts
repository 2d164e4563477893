// Bytes that can be read at any position: a file on disk, or memory (tests, fuzzing). The readers above this file see
// only a size and positional reads, so no file is ever loaded whole because a part of it was wanted.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { CarambaError } from "@caramba/tensor";
import { readError } from "./system-error.ts";

/** A source of bytes with positional reads. */
export interface RandomAccess {
  /** What to call it in messages: a path. */
  readonly name: string;
  /** Length in bytes when it was opened. */
  readonly size: number;
  /** Fills `target` from the bytes at `offset`; rejects when the source ends before that. */
  read(offset: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Bytes in memory as a RandomAccess. */
export function memorySource(bytes: Uint8Array, name = "memory"): RandomAccess {
  return {
    name,
    size: bytes.length,
    async read(offset, target) {
      if (offset < 0 || offset + target.length > bytes.length) throw endedEarly(name, offset + target.length);
      target.set(bytes.subarray(offset, offset + target.length));
    },
    async close() {},
  };
}

/**
 * Opens a regular file for positional reads.
 * @throws CarambaError `missing-file`, `not-a-file` (a folder, a pipe) or `unreadable-file`.
 */
export async function openFile(path: string): Promise<RandomAccess> {
  // Opening a named pipe would otherwise wait for a writer for ever.
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
  const handle = await open(path, flags).catch((cause: unknown) => {
    throw readError(path, cause);
  });
  let size: number;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) {
      throw new CarambaError(`${path}: not a regular file`, {
        code: "not-a-file",
        remedy: "Give the path of a file.",
      });
    }
    size = stat.size;
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    name: path,
    size,
    async read(offset, target) {
      let done = 0;
      while (done < target.length) {
        // One system call moves at most 2 GiB.
        const length = Math.min(target.length - done, 1 << 30);
        const { bytesRead } = await handle.read(target, done, length, offset + done).catch((cause: unknown) => {
          throw readError(path, cause, "read");
        });
        if (bytesRead === 0) throw endedEarly(path, offset + target.length);
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

/**
 * Reads a small text file whole as UTF-8.
 * @throws CarambaError as `openFile`, and `file-too-large` above `limit` bytes, `not-utf8`.
 */
export async function readTextFile(path: string, limit: number): Promise<string> {
  const file = await openFile(path);
  try {
    if (file.size > limit) {
      throw new CarambaError(`${path}: ${file.size} bytes, more than the ${limit} this kind of file may have`, {
        code: "file-too-large",
        remedy: "Check that the path names the right file.",
      });
    }
    const bytes = new Uint8Array(file.size);
    await file.read(0, bytes);
    return decodeUtf8(bytes, path);
  } finally {
    await file.close();
  }
}

/** Strict UTF-8 (a byte-order mark stays in the text, invalid bytes are refused). */
export function decodeUtf8(bytes: Uint8Array, place: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new CarambaError(`${place}: not valid UTF-8`, {
      code: "not-utf8",
      remedy: "The file is damaged or of another kind; obtain it again.",
      cause,
    });
  }
}

function endedEarly(name: string, wanted: number): CarambaError {
  return new CarambaError(`${name}: ended before byte ${wanted}: it was cut short while it was being read`, {
    code: "truncated-file",
    remedy: "Wait until whatever writes the file is done, or obtain the file again.",
  });
}
