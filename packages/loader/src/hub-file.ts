// One content from the Hub to the cache. It grows in a file of its own, `<hash>.<process>-<random>.incomplete`, and
// takes its name when every byte is there and hashes to what the Hub announced. Whoever is interrupted leaves the file;
// the next download takes it over, hashes what is there, and asks for the rest alone.

import { createHash, type Hash, randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ownerIsGone, syncFolder, thisProcess, writeError } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import type { ContentHash, RemoteFile } from "./hub-api.ts";
import { sizeOf } from "./hub-cache.ts";
import type { Answer, HubHttp } from "./hub-http.ts";
import { Transient } from "./hub-refusal.ts";

/** What a transfer needs. */
export interface Transfer {
  readonly http: HubHttp;
  /** Address that leads to the content. */
  readonly url: string;
  readonly file: RemoteFile;
  /** What to call it in messages. */
  readonly label: string;
  /** Where the content is to lie. */
  readonly blob: string;
  readonly signal: AbortSignal | null;
  /** Change of the number of bytes that are there, and how many of them came over the network just now. */
  readonly onBytes: (there: number, received: number) => void;
}

/**
 * Fetches a content unless it is there.
 * @throws CarambaError `hub-hash` where the bytes are wrong twice, `hub-response` where there are too many, `disk-full`,
 * `unwritable-file`; as `HubHttp.retry`; the signal's reason when it is aborted.
 */
export async function fetchContent(transfer: Transfer): Promise<void> {
  const { blob, file, onBytes } = transfer;
  if ((await sizeOf(blob)) === file.size) {
    onBytes(file.size, 0);
    return;
  }
  const partial = await takeOver(blob);
  let finished = false;
  try {
    await fill(partial, transfer);
    await rename(partial, blob);
    finished = true;
    await syncFolder(dirname(blob));
  } catch (error) {
    if (!finished) await leave(partial, blob);
    if (error instanceof CarambaError || transfer.signal?.aborted) throw error;
    throw writeError(blob, error, "what arrived is kept for the next attempt");
  }
}

async function fill(path: string, transfer: Transfer): Promise<void> {
  const { http, file, label, signal, onBytes } = transfer;
  const handle = await open(path, "a+").then(async (created) => {
    await created.close();
    return open(path, "r+");
  });
  try {
    if ((await handle.stat()).size > file.size) await handle.truncate(0);
    const state = await resumed(handle, file, signal);
    onBytes(state.length, 0);
    const kept = () =>
      state.length > 0 ? `; ${state.length} of ${file.size} bytes are kept for the next attempt` : "";
    for (let attempt = 1; ; attempt++) {
      let farthest = state.length;
      await http.retry(
        label,
        async () => {
          try {
            await receive(handle, state, transfer);
          } finally {
            farthest = Math.max(farthest, state.length);
          }
        },
        () => farthest,
        kept,
      );
      const found = state.hash.digest("hex");
      if (found === file.hash.hex) break;
      await restart(handle, state, transfer);
      // What was there before may have been to blame; twice wrong is wrong.
      if (attempt === 2) throw wrongBytes(label, file.hash, found);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A file that grows, with the hash of what it holds. */
interface Growing {
  length: number;
  hash: Hash;
  /** Of the content, as the server last named it; then a resumed answer must be of the same one. */
  etag: string | null;
}

async function resumed(handle: FileHandle, file: RemoteFile, signal: AbortSignal | null): Promise<Growing> {
  const hash = newHash(file);
  let length = 0;
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, length);
    if (bytesRead === 0) return { length, hash, etag: null };
    hash.update(buffer.subarray(0, bytesRead));
    length += bytesRead;
  }
}

async function restart(handle: FileHandle, state: Growing, { file, onBytes }: Transfer): Promise<void> {
  await handle.truncate(0);
  onBytes(-state.length, 0);
  state.length = 0;
  state.hash = newHash(file);
  state.etag = null;
}

/** One connection's worth. @throws Transient when it ends early. */
async function receive(handle: FileHandle, state: Growing, transfer: Transfer): Promise<void> {
  const { http, url, file, label, onBytes } = transfer;
  if (state.length === file.size) return;
  const headers: Record<string, string> = state.length > 0 ? { range: `bytes=${state.length}-` } : {};
  if (state.length > 0 && state.etag !== null) headers["if-range"] = state.etag;
  await http.request(url, headers, async (answer) => {
    const { status, body } = answer;
    if (status === 416) {
      await restart(handle, state, transfer);
      throw new Transient("the server has no such range of bytes");
    }
    // The whole file where a part was asked for: ranges are not supported, or it is another content.
    if (status !== 206 && state.length > 0) await restart(handle, state, transfer);
    if (status === 206) demandRange(answer, state.length, file.size);
    demandLength(answer, file.size - state.length, label);
    const etag = answer.headers.get("etag");
    state.etag = etag !== null && !etag.startsWith("W/") ? etag : null;
    for await (const chunk of body) {
      if (state.length + chunk.length > file.size) throw wrongLength(label, file.size, "more");
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, state.length + done);
        done += bytesWritten;
      }
      state.hash.update(chunk);
      state.length += chunk.length;
      onBytes(chunk.length, chunk.length);
    }
  });
  if (state.length < file.size) throw new Transient("the connection ended early");
}

function demandRange({ headers }: Answer, offset: number, size: number): void {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ?? [];
  if (Number(start) !== offset || (total !== "*" && Number(total) !== size))
    throw new Transient("the server sent another range of bytes than was asked for");
}

function demandLength({ headers }: Answer, rest: number, label: string): void {
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") throw new Transient("the server sent compressed bytes");
  const length = headers.get("content-length");
  if (length !== null && Number(length) !== rest) throw wrongLength(label, rest, length);
}

function newHash(file: RemoteFile): Hash {
  return file.hash.kind === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${file.size}\0`);
}

function wrongLength(label: string, size: number, found: string): CarambaError {
  return new CarambaError(`${label}: the server sends ${found} bytes where ${size} were announced`, {
    code: "hub-response",
    remedy: "try again later; if HF_ENDPOINT is set, check that it leads to a Hub",
  });
}

function wrongBytes(label: string, hash: ContentHash, found: string): CarambaError {
  const name = hash.kind === "sha256" ? "SHA-256" : "git SHA-1";
  return new CarambaError(
    `${label}: wrong bytes were sent, twice: their ${name} is ${found}, the Hub announced ${hash.hex}; they were deleted`,
    { code: "hub-hash", remedy: "try again later, over another network or without a proxy that changes content" },
  );
}

const incomplete = /^([0-9a-f]+)\.(?:([0-9a-f]{8}-\d+-[0-9a-f]{8})-[0-9a-f]{12}|left)\.incomplete$/;

/** A file of our own to grow in: the longest that somebody left, else a new name. */
async function takeOver(blob: string): Promise<string> {
  const folder = dirname(blob);
  const own = join(folder, `${basename(blob)}.${thisProcess()}-${randomBytes(6).toString("hex")}.incomplete`);
  const left: { path: string; size: number }[] = [];
  for (const name of await readdir(folder).catch((cause: unknown) => Promise.reject(writeError(blob, cause)))) {
    const [, hash, owner] = incomplete.exec(name) ?? [];
    const path = join(folder, name);
    if (hash !== basename(blob) || (owner !== undefined && !(await ownerIsGone(owner, path)))) continue;
    const found = await stat(path).catch(() => null);
    if (found?.isFile()) left.push({ path, size: found.size });
  }
  left.sort((a, b) => b.size - a.size);
  // A rename succeeds for one process only.
  for (const { path } of left) {
    const taken = await rename(path, own).then(
      () => true,
      () => false,
    );
    if (taken) break;
  }
  return own;
}

/** Leaves what was received to the next attempt, under a name that belongs to nobody. */
async function leave(partial: string, blob: string): Promise<void> {
  const size = await sizeOf(partial);
  const move = size === 0 ? unlink(partial) : rename(partial, `${blob}.left.incomplete`);
  await move.catch(() => {});
}
