// Opens a file of token ids by its kind: .npy, or whitespace-separated integers (.tokens, .txt).

import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { extname, isAbsolute, join } from "node:path";
import { readError } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { IntBuffer } from "./int-buffer.ts";
import { isNpy } from "./npy-header.ts";
import { NpyTokens } from "./npy-tokens.ts";
import { MemoryTokens, type TokenSource } from "./token-source.ts";

/**
 * Opens token ids. A relative path is looked for in the working directory, then in ./data.
 * `.tokens` and `.txt` hold integers separated by white space, and are held in memory; anything else must be .npy by content.
 * Errors: CarambaError `missing-file`, `token-file`, and those of NpyTokens.
 */
export function openTokens(path: string): TokenSource {
  const found = findFile(path);
  const extension = extname(found).toLowerCase();
  if (extension === ".tokens" || extension === ".txt") return readIntegers(found);
  if (extension !== ".npy" && !isNpy(firstBytes(found))) {
    throw new CarambaError(`${found} is neither .npy nor a list of token ids (.tokens, .txt)`, {
      code: "token-file",
      remedy: "turn text into tokens first, with prepareTokens",
    });
  }
  return new NpyTokens(found);
}

function findFile(path: string): string {
  const inData = join("data", path);
  if (!isAbsolute(path) && !existsSync(path) && existsSync(inData)) return inData;
  if (existsSync(path)) return path;
  throw new CarambaError(`no such token file: ${path}${isAbsolute(path) ? "" : ` (nor ${inData})`}`, {
    code: "missing-file",
    remedy: `check the path; it is taken from the working directory, ${process.cwd()}`,
  });
}

function firstBytes(path: string): Uint8Array {
  const bytes = new Uint8Array(6);
  for (const chunk of chunksOf(path, bytes)) return chunk;
  return bytes;
}

/** Reads a file through one buffer, over and over. */
function* chunksOf(path: string, buffer: Uint8Array): Generator<Uint8Array> {
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    for (;;) {
      const got = readSync(fd, buffer);
      if (got === 0) return;
      yield buffer.subarray(0, got);
    }
  } catch (error) {
    throw readError(path, error, "read");
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function readIntegers(path: string): TokenSource {
  const ids = new IntBuffer();
  let value = -1;
  let line = 1;
  for (const chunk of chunksOf(path, new Uint8Array(1 << 16))) {
    for (const byte of chunk) {
      if (byte >= 0x30 && byte <= 0x39) {
        value = (value < 0 ? 0 : value * 10) + byte - 0x30;
        if (value <= 0x7fffffff) continue;
      } else if (byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)) {
        if (value >= 0) ids.push(value);
        value = -1;
        if (byte === 0x0a) line++;
        continue;
      }
      throw new CarambaError(
        `${path}:${line}: token ${ids.length} is not an integer from 0 to 2147483647 separated by white space`,
        { code: "token-file", remedy: "if this file is text, turn it into tokens first, with prepareTokens" },
      );
    }
  }
  if (value >= 0) ids.push(value);
  return new MemoryTokens(ids.take(), path);
}
