// Documents to a .npy file of token ids, with a sidecar that says from what: <name>.json beside <name>.npy. When the
// sidecar already says the same, nothing is done.

import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { extname } from "node:path";
import { type CreateFile, readError, writeTextDurably } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import type { Corpus, TextDocument } from "./documents.ts";
import { NpyTokens } from "./npy-tokens.ts";
import { NpyWriter } from "./npy-writer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { isRecord } from "./tokenizer-json.ts";

export interface PrepareProgress {
  readonly documents: number;
  readonly bytes: number;
  /** Undefined when the size of the documents is not known beforehand. */
  readonly totalBytes: number | undefined;
  readonly tokens: number;
  readonly bytesPerSecond: number;
}

export interface PrepareTokensOptions {
  /** A corpus (its hash lets a second run be skipped), or any documents. */
  readonly documents: Corpus | Iterable<TextDocument> | AsyncIterable<TextDocument>;
  readonly tokenizer: Tokenizer;
  /** Path that ends in .npy. */
  readonly output: string;
  /** End-of-text token after every document. Default: where the tokenizer has one. */
  readonly appendEos?: boolean;
  readonly dtype?: "int32" | "uint16";
  /** Called about ten times a second, and at the end. */
  readonly onProgress?: (progress: PrepareProgress) => void;
  readonly signal?: AbortSignal;
  /** Makes the token file to write into; for tests of full disks. */
  readonly create?: CreateFile;
}

/** What the sidecar holds (snake_case in the file as here). */
export interface TokenFileInfo {
  readonly format: "caramba-tokens";
  readonly version: 1;
  readonly tokenizer: { readonly name: string; readonly hash: string; readonly vocab_size: number };
  /** sha256 of the source: of the corpus manifest, or over names and texts of the documents. */
  readonly source_sha256: string;
  readonly documents: number;
  readonly bytes: number;
  readonly tokens: number;
  readonly dtype: "int32" | "uint16";
  readonly append_eos: boolean;
}

export interface PreparedTokens extends TokenFileInfo {
  readonly path: string;
  /** True when the files were already there. */
  readonly reused: boolean;
}

/**
 * Writes token ids. Special tokens' names inside the text stay text. The file appears whole or not at all; an older
 * one stays in place when anything fails.
 * Errors: CarambaError `no-eos`, `output`, `empty-corpus`, `disk-full`, `file`, and those of the documents.
 */
export async function prepareTokens(options: PrepareTokensOptions): Promise<PreparedTokens> {
  const { tokenizer, output } = options;
  const appendEos = options.appendEos ?? tokenizer.eosId !== undefined;
  const dtype = options.dtype ?? "int32";
  if (appendEos && tokenizer.eosId === undefined) {
    throw new CarambaError(`tokenizer ${tokenizer.name} has no end-of-text token to append`, {
      code: "no-eos",
      remedy: "set append_eos to false, or take a tokenizer that has one",
    });
  }
  if (extname(output) !== ".npy") {
    throw new CarambaError(`output ${output} must end in .npy`, { code: "output", remedy: `call it ${output}.npy` });
  }
  const corpus = "manifest" in options.documents ? options.documents : undefined;
  const wanted = {
    format: "caramba-tokens",
    version: 1,
    tokenizer: { name: tokenizer.name, hash: tokenizer.hash, vocab_size: tokenizer.vocabSize },
    dtype,
    append_eos: appendEos,
  } as const;
  if (corpus !== undefined) {
    const info = await readTokenFileInfo(output);
    if (info !== undefined && matches(info, { ...wanted, source_sha256: corpus.manifest.sha256 }, output)) {
      return { ...info, path: output, reused: true };
    }
  }

  const writer = await NpyWriter.create(output, { dtype, ...(options.create && { create: options.create }) });
  const digest = createHash("sha256");
  let documents = 0;
  let bytes = 0;
  const started = performance.now();
  let reported = started;
  const report = (): void => {
    const seconds = (performance.now() - started) / 1000;
    options.onProgress?.({
      documents,
      bytes,
      totalBytes: corpus?.manifest.bytes,
      tokens: writer.length,
      bytesPerSecond: seconds > 0 ? bytes / seconds : 0,
    });
  };
  try {
    for await (const document of corpus?.documents() ?? (options.documents as Iterable<TextDocument>)) {
      options.signal?.throwIfAborted();
      if (corpus === undefined) digest.update(JSON.stringify([document.name, document.text]));
      await writer.append(tokenizer.encode(document.text, { special: false }));
      bytes += Buffer.byteLength(document.text);
      if (document.continues !== true) {
        documents++;
        if (appendEos) await writer.append([tokenizer.eosId as number]);
      }
      if (performance.now() - reported > 100) {
        report();
        // Lets timers and signals in.
        await new Promise((resolve) => setImmediate(resolve));
        reported = performance.now();
      }
    }
    if (bytes === 0) {
      throw new CarambaError(`nothing to write to ${output}: the documents hold no text`, {
        code: "empty-corpus",
        remedy: "name files or folders that hold text",
      });
    }
    report();
    // The old sidecar goes first: a kill between the two files must not leave it to vouch for the new tokens.
    await writer.close(() => rm(sidecarPath(output), { force: true }));
  } catch (error) {
    await writer.abort();
    throw error;
  }
  const source = corpus?.manifest.sha256 ?? digest.digest("hex");
  const info: TokenFileInfo = { ...wanted, source_sha256: source, documents, bytes, tokens: writer.length };
  await writeTextDurably(sidecarPath(output), `${JSON.stringify(info, null, 2)}\n`);
  return { ...info, path: output, reused: false };
}

/** The sidecar of a token file; undefined when there is none, or it is not one of ours. */
export async function readTokenFileInfo(npyPath: string): Promise<TokenFileInfo | undefined> {
  const path = sidecarPath(npyPath);
  if (!existsSync(path)) return undefined;
  try {
    const json: unknown = JSON.parse(await readFile(path, "utf8"));
    return isTokenFileInfo(json) ? json : undefined;
  } catch (error) {
    // A damaged sidecar vouches for nothing; the tokens are made again.
    if (error instanceof SyntaxError) return undefined;
    throw readError(path, error, "read");
  }
}

function sidecarPath(npyPath: string): string {
  return npyPath.replace(/\.npy$/, ".json");
}

function isTokenFileInfo(json: unknown): json is TokenFileInfo {
  return (
    isRecord(json) &&
    json["format"] === "caramba-tokens" &&
    json["version"] === 1 &&
    isRecord(json["tokenizer"]) &&
    typeof json["source_sha256"] === "string" &&
    ["documents", "bytes", "tokens"].every((key) => Number.isSafeInteger(json[key]))
  );
}

function matches(info: TokenFileInfo, wanted: Partial<TokenFileInfo>, output: string): boolean {
  if (
    info.source_sha256 !== wanted.source_sha256 ||
    info.tokenizer.hash !== wanted.tokenizer?.hash ||
    info.append_eos !== wanted.append_eos ||
    info.dtype !== wanted.dtype ||
    !existsSync(output) ||
    !statSync(output).isFile()
  ) {
    return false;
  }
  try {
    const tokens = new NpyTokens(output);
    const same = tokens.length === info.tokens && tokens.dtype === info.dtype;
    tokens.close();
    return same;
  } catch (error) {
    // A damaged token file is made again.
    if (error instanceof CarambaError && error.code === "npy") return false;
    throw error;
  }
}
