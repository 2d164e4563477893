// Gathers a corpus of real text: named files whole, folders filtered. Files come in an order given by a hash of their
// names, so that a byte budget takes an even sample, and so that the tail (which becomes validation) is like the rest.

import { createHash } from "node:crypto";
import { createReadStream, type Stats, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { readError } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import type { Corpus, CorpusFile, TextDocument } from "./documents.ts";
import { type FoundFile, findTextFiles } from "./find-text-files.ts";
import { NearCopies } from "./near-copies.ts";
import { safeCut } from "./pre-tokenize.ts";

export interface CollectTextOptions {
  /** Files, taken whole and unfiltered, and folders, searched. A folder called node_modules is read package by package. */
  readonly inputs: readonly string[];
  /** What to take from folders. Default `.d.ts` and `.md`. */
  readonly extensions?: readonly string[];
  /** Stop at this many bytes of UTF-8; the last file is cut at a line end. Default: no limit. */
  readonly maxBytes?: number;
  /** Files in folders larger than this are left out. Default 256 KiB. */
  readonly maxFileBytes?: number;
  readonly signal?: AbortSignal;
}

const PIECE_BYTES = 4 << 20;
const MAX_LINE = 2000;

interface Chosen extends CorpusFile {
  readonly path: string;
  /** The budget ended inside this file. */
  readonly cut: boolean;
}

/**
 * Collects text. Reads every chosen file once to hash and judge it; documents are read again when asked for.
 * From folders are left out: copies and near copies, files that are too large, not UTF-8, hold NUL or lines over 2000
 * characters (minified), licences and change logs, and what findTextFiles leaves out; the manifest counts them.
 * Errors: CarambaError `missing-file`, `file`, `not-text` (a named file that is not UTF-8), `empty-corpus`.
 */
export async function collectText(options: CollectTextOptions): Promise<Corpus> {
  const extensions = options.extensions ?? [".d.ts", ".md"];
  const maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
  const skipped: Record<string, number> = {};
  const skip = (reason: string, count = 1): void => {
    skipped[reason] = (skipped[reason] ?? 0) + count;
  };
  const candidates: (FoundFile & { readonly named: boolean })[] = [];
  for (const input of options.inputs) {
    if (statOf(input).isDirectory()) {
      for (const file of findTextFiles(input, extensions, skip)) candidates.push({ ...file, named: false });
    } else candidates.push({ path: input, name: basename(input), named: true });
  }
  const keyed = candidates.map((file) => ({ ...file, key: createHash("sha256").update(file.name).digest("hex") }));
  // Two files of one name (from two folders) are told apart by their path's order.
  keyed.sort((a, b) => compare(a.key, b.key) || compare(a.path, b.path));

  const files: Chosen[] = [];
  const seen = new Set<string>();
  let bytes = 0;
  const copies = new NearCopies();
  let full = false;
  for (const file of keyed) {
    if (full || bytes >= maxBytes) break;
    options.signal?.throwIfAborted();
    const room = maxBytes - bytes;
    const taken = file.named
      ? await takeNamed(file, room)
      : await takeFound(file, room, options.maxFileBytes ?? 262144, copies);
    if (typeof taken === "string") {
      skip(taken);
      continue;
    }
    full = taken.cut;
    if (seen.has(taken.sha256)) skip("copy or near copy");
    else if (taken.bytes > 0) {
      seen.add(taken.sha256);
      files.push(taken);
      bytes += taken.bytes;
    }
  }
  if (bytes === 0) {
    throw new CarambaError(`no text found in ${options.inputs.join(", ") || "an empty list of inputs"}`, {
      code: "empty-corpus",
      remedy: `name files, or folders that hold ${extensions.join(" or ")} files`,
    });
  }
  const digest = createHash("sha256");
  for (const { name, sha256 } of files) digest.update(`${sha256}  ${name}\n`);
  return {
    manifest: {
      sha256: digest.digest("hex"),
      bytes,
      files: files.map(({ name, bytes: size, sha256 }) => ({ name, bytes: size, sha256 })),
      skipped,
    },
    documents: () => readDocuments(files),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function statOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw readError(path, error, "read");
  }
}

/** The file, or why it is left out. */
async function takeFound(
  file: FoundFile,
  room: number,
  maxFileBytes: number,
  copies: NearCopies,
): Promise<Chosen | string> {
  if (/^(licen[cs]e|changelog|changes|history|third.?party|notice)/i.test(basename(file.path))) {
    return "licence or change log";
  }
  if (statOf(file.path).size > maxFileBytes) return "too large";
  let data: Uint8Array;
  try {
    data = await readFile(file.path);
  } catch (error) {
    throw readError(file.path, error, "read");
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch {
    return "not UTF-8";
  }
  if (text.includes("\0")) return "binary";
  if (text.trim() === "") return "empty";
  if (text.split("\n").some((line) => line.length > MAX_LINE)) return "overlong line";
  if (copies.check(text)) return "copy or near copy";
  const end = data.length <= room ? data.length : data.lastIndexOf(0x0a, room - 1) + 1;
  const sha256 = createHash("sha256").update(data.subarray(0, end)).digest("hex");
  return { ...file, bytes: end, sha256, cut: end < data.length };
}

/** Named files may be of any size, so they are hashed in pieces. */
async function takeNamed(file: FoundFile, room: number): Promise<Chosen> {
  const digest = createHash("sha256");
  const { size } = statOf(file.path);
  let bytes = 0;
  for await (const piece of readPieces(file.path, Math.min(room, size))) {
    const data = new TextEncoder().encode(piece);
    digest.update(data);
    bytes += data.length;
  }
  return { ...file, bytes, sha256: digest.digest("hex"), cut: room < size };
}

async function* readDocuments(files: readonly Chosen[]): AsyncIterable<TextDocument> {
  for (const file of files) {
    // One piece is held back, to know whether another follows.
    let held: string | undefined;
    const digest = createHash("sha256");
    for await (const piece of readPieces(file.path, file.bytes)) {
      digest.update(piece);
      if (held !== undefined) yield { name: file.name, text: held, continues: true };
      held = piece;
    }
    if (digest.digest("hex") !== file.sha256) {
      throw new CarambaError(`${file.path} was changed while it was being read`, {
        code: "file",
        remedy: "run again once it is complete",
      });
    }
    if (held !== undefined) yield { name: file.name, text: held };
  }
}

/** The first `bytes` bytes as text, in pieces cut where no word is. A budget that ends inside a line loses that line. */
async function* readPieces(path: string, bytes: number): AsyncIterable<string> {
  if (bytes < 1) return;
  const whole = bytes >= statOf(path).size;
  // ignoreBOM: what is hashed and counted is what lies in the file.
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  try {
    for await (const chunk of createReadStream(path, { end: bytes - 1, highWaterMark: 1 << 20 })) {
      text += utf8.decode(chunk as Uint8Array, { stream: true });
      if (text.length < PIECE_BYTES) continue;
      const cut = safeCut(text, PIECE_BYTES >> 1);
      if (cut === text.length) continue;
      checkNoNul(text, path);
      yield text.slice(0, cut);
      text = text.slice(cut);
    }
    if (whole) text += utf8.decode();
    else text = text.slice(0, text.lastIndexOf("\n") + 1) || text;
  } catch (error) {
    if (error instanceof TypeError) {
      throw new CarambaError(`${path} is not text in UTF-8`, {
        code: "not-text",
        remedy: "convert it to UTF-8, or name another file",
        cause: error,
      });
    }
    throw readError(path, error, "read");
  }
  checkNoNul(text, path);
  if (text !== "") yield text;
}

function checkNoNul(text: string, path: string): void {
  if (!text.includes("\0")) return;
  throw new CarambaError(`${path} holds NUL characters: it is not text`, {
    code: "not-text",
    remedy: "name a text file",
  });
}
