// The text of a target: its token file, cut into training and held-out parts, and its tokenizer.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
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
import { CarambaError } from "@caramba/tensor";

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

/** Finds a path: absolute, below the working folder, beside the manifest, below ./data. */
export function findPath(path: string, manifestPath: string | null): string | undefined {
  const places = isAbsolute(path)
    ? [path]
    : [resolve(path), ...(manifestPath ? [resolve(dirname(manifestPath), path)] : []), resolve("data", path)];
  return places.find((place) => existsSync(place));
}

/** Opens the text of a target for a block size. */
export async function openText(
  target: Target,
  blockSize: number,
  vocabSize: number,
  manifestPath: string | null,
  signal: AbortSignal | null = null,
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
    return await describeText(source, target, blockSize, vocabSize, manifestPath, signal);
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
  signal: AbortSignal | null,
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
  const spec = tokenizerSpec(target, path, manifestPath);
  // A tokenizer that is only named ("llama") may be elsewhere; a path that leads nowhere is a mistake.
  const isPath = existsSync(spec) || spec.endsWith(".json") || /[\\/]/.test(spec);
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
    hash: await sha256(path, signal),
    tokenizer,
    tokenizerSpec: spec,
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

/** The tokenizer the manifest names; a tokenizer.json beside the token file where the name is no file. */
function tokenizerSpec(target: Target, path: string, manifestPath: string | null): string {
  const named = target.data.tokenizer;
  if (isCertain(named)) return named;
  const found = findPath(named, manifestPath);
  if (found) return found;
  const beside = join(dirname(path), "tokenizer.json");
  return existsSync(beside) ? beside : named;
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
