// The text of a target: its token file, cut into training and held-out parts, and its tokenizer.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { windowReader } from "@caramba/benchmark";
import type { Target } from "@caramba/config";
import {
  checkTokens,
  isBuiltInTokenizer,
  loadTokenizer,
  openTokens,
  readTokenFileInfo,
  splitTokens,
  type Tokenizer,
  type TokenSource,
  type TokenSplit,
} from "@caramba/data";
import type { WindowReader } from "@caramba/eval";
import { isHubUri } from "@caramba/loader";
import { CarambaError } from "@caramba/tensor";
import { findPath } from "./find-path.ts";
import type { FromHubOptions } from "./from-hub.ts";
import { isOffline, type LocatedTokenizer, locateTokenizer } from "./open-tokenizer.ts";

/** Open text of a target. */
export interface TargetText {
  readonly path: string;
  readonly source: TokenSource;
  readonly split: TokenSplit;
  /** sha256 of the token file. */
  readonly hash: string;
  /** Null where the tokenizer is named but not at hand; then no text can be shown. */
  readonly tokenizer: Tokenizer | null;
  readonly tokenizerSpec: string;
  readonly tokenizerHash: string | null;
  readonly windows: WindowReader;
}

/** How the tokenizer of the Hub is reached that a target may name. */
export interface OpenTextOptions extends Omit<FromHubOptions, "signal" | "target"> {
  /** False: nothing is fetched; a tokenizer of the Hub that is not in the cache is then not at hand. Default true. */
  readonly fetch?: boolean;
}

/** Opens the text of a target for a block size. */
export async function openText(
  target: Target,
  blockSize: number,
  vocabSize: number,
  manifestPath: string | null,
  signal: AbortSignal | null = null,
  options: OpenTextOptions = {},
): Promise<TargetText> {
  const wanted = target.data.path ?? "";
  const path = findPath(wanted, manifestPath);
  if (!path)
    throw new CarambaError(`target "${target.name}": the token file ${wanted} does not exist`, {
      code: "missing-file",
      remedy: `make it with: caramba prepare --input <files or folders> --output ${wanted}`,
    });
  const source = await openTokens(path);
  try {
    return await describeText(source, target, blockSize, vocabSize, manifestPath, { ...options, signal });
  } catch (error) {
    source.close();
    throw error;
  }
}

async function describeText(
  source: TokenSource,
  target: Target,
  blockSize: number,
  vocabSize: number,
  manifestPath: string | null,
  options: OpenTextOptions & { readonly signal: AbortSignal | null },
): Promise<TargetText> {
  const { path } = source;
  const split = splitTokens(source.length, target.data.valFrac, blockSize, path);
  const info = await readTokenFileInfo(path);
  if (info && info.tokenizer.vocab_size > vocabSize)
    throw new CarambaError(
      `${path} was made with a vocabulary of ${info.tokenizer.vocab_size}, the model has ${vocabSize} ids`,
      {
        code: "token-id",
        remedy: "set vocab_size to the tokenizer's size, or prepare the text with the model's tokenizer",
      },
    );
  // Ids are checked as they are read; where nothing vouches for them, before anything is trained.
  if (info?.tokens !== source.length) checkTokens(source, vocabSize);
  const { spec, source: written } = await tokenizerOf(target, path, manifestPath, options);
  // A tokenizer that is only named ("llama") may be elsewhere; a path that leads nowhere is a mistake.
  const isPath = existsSync(spec) || spec.endsWith(".json") || (/[\\/]/.test(spec) && !isHubUri(spec));
  const tokenizer =
    isPath || isCertain(spec) ? await loadTokenizer(spec) : await tokenizerIfOf(spec, info?.tokenizer.hash);
  if (info && tokenizer && info.tokenizer.hash !== tokenizer.hash)
    throw new CarambaError(`${path} was made with another tokenizer than ${spec}`, {
      code: "tokenizer",
      remedy: "prepare the text again, or name the tokenizer it was made with in defaults.data.tokenizer",
    });
  return {
    path,
    source,
    split,
    hash: await sha256(path, options.signal),
    tokenizer,
    tokenizerSpec: written,
    tokenizerHash: tokenizer?.hash ?? info?.tokenizer.hash ?? null,
    windows: windowReader({ tokens: source, split, vocabSize }),
  };
}

/** A built-in tokenizer by a name that is nothing else. */
function isCertain(spec: string): boolean {
  return spec === "byte" || spec.startsWith("tiktoken:");
}

/** `tiktoken` is also what manifests that name none have: taken where the token file says that it was made with it. */
async function tokenizerIfOf(spec: string, hash: string | undefined): Promise<Tokenizer | null> {
  if (hash === undefined || !isBuiltInTokenizer(spec)) return null;
  const tokenizer = await loadTokenizer(spec);
  return tokenizer.hash === hash ? tokenizer : null;
}

/**
 * The tokenizer the manifest names: built in, a file or folder, of the Hub; else the tokenizer.json beside the token file.
 * One of the Hub that is not to be fetched is its own name.
 */
async function tokenizerOf(
  target: Target,
  path: string,
  manifestPath: string | null,
  { fetch = true, ...options }: OpenTextOptions & { readonly signal: AbortSignal | null },
): Promise<LocatedTokenizer> {
  const named = target.data.tokenizer;
  try {
    const hub = fetch ? options.hub : { ...options.hub, offline: true };
    const found = await locateTokenizer(named, manifestPath, {
      ...options,
      target: target.name,
      ...(hub ? { hub } : {}),
    });
    if (found.spec !== named || isCertain(named) || existsSync(named)) return found;
  } catch (error) {
    if (fetch || !isOffline(error)) throw error;
    const name = isHubUri(named) ? named : `hf://${named}`;
    return { spec: name, source: name };
  }
  const beside = join(dirname(path), "tokenizer.json");
  const spec = existsSync(beside) ? beside : named;
  return { spec, source: spec };
}

/** sha256 of a file's content. @throws the signal's reason when it is aborted. */
export async function sha256(path: string, signal: AbortSignal | null): Promise<string> {
  const hash = createHash("sha256");
  const file = await open(path);
  try {
    for await (const chunk of file.createReadStream({ autoClose: false })) {
      signal?.throwIfAborted();
      hash.update(chunk as Buffer);
    }
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}
