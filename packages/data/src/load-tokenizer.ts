// From what a manifest says ("byte", "tiktoken:o200k_base", a path) to a tokenizer.

import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseStrictJson, readError } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import { ByteTokenizer } from "./byte-tokenizer.ts";
import { CharTokenizer } from "./char-tokenizer.ts";
import { readAddedTokens } from "./hf/added-tokens.ts";
import { PipelineTokenizer } from "./hf/pipeline-tokenizer.ts";
import { HfTokenizer } from "./hf-tokenizer.ts";
import { isRankFile, tiktokenEncoding, tiktokenEncodings, tiktokenFile } from "./tiktoken-encodings.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { endOfText, isRecord, parseBpeJson } from "./tokenizer-json.ts";

// The largest known tokenizer.json files have about 35 MB.
const MAX_FILE_BYTES = 128 << 20;

/**
 * @param spec `byte`; `tiktoken:NAME` (gpt2, r50k_base, p50k_base, p50k_edit, cl100k_base, o200k_base), `tiktoken`, which
 *   is cl100k_base, or `gpt2`; `tiktoken:PATH` of a rank file; or a path to a tokenizer.json (trained here or by Hugging
 *   Face tools), to Llama 3's tokenizer.model, to a character vocabulary {type: "char"}, or to a folder that holds one of
 *   the first two.
 * Errors: CarambaError `unknown-tokenizer` for a name that is no file, `missing-file`, `tokenizer-file`.
 */
export async function loadTokenizer(spec: string): Promise<Tokenizer> {
  if (spec === "byte") return new ByteTokenizer();
  if (namedEncoding(spec) !== undefined) return tiktokenEncoding(namedEncoding(spec) as string);
  const place = spec.replace(/^tiktoken:/, "");
  const isFolder = existsSync(place) && statSync(place).isDirectory();
  const path = isFolder ? fileIn(place) : place;
  if (!existsSync(path)) throw notThere(spec, path);
  const text = await readText(path);
  if (isRankFile(text)) return tiktokenFile(text, path);
  if (spec.startsWith("tiktoken:")) throw notTokenizer(path, "it is no rank file of tiktoken");
  const json = parseJson(text, path);
  if (!isRecord(json)) throw notTokenizer(path, "it is not a JSON object");
  const char = CharTokenizer.fromJson(json, path);
  if (char !== undefined) return char;
  const vocabulary = parseBpeJson(json, path);
  if (vocabulary !== undefined) return new BpeTokenizer(vocabulary);
  return foreignTokenizer(json, text, path);
}

function fileIn(folder: string): string {
  const [json, model] = [join(folder, "tokenizer.json"), join(folder, "tokenizer.model")];
  return !existsSync(json) && existsSync(model) ? model : json;
}

/** Whether `loadTokenizer` knows this name without a file. */
export function isBuiltInTokenizer(spec: string): boolean {
  return spec === "byte" || namedEncoding(spec) !== undefined;
}

/** The encoding that a name stands for; `gpt2` may also be a model's folder, which goes first. */
function namedEncoding(spec: string): string | undefined {
  if (spec === "tiktoken") return "cl100k_base";
  if (spec === "gpt2") return existsSync(spec) ? undefined : "gpt2";
  const [, name] = /^tiktoken:(.*)$/.exec(spec) ?? [];
  // A name that is none of ours and no file is told which there are.
  return name === undefined || /[\\/.]/.test(name) || (existsSync(name) && !tiktokenEncodings.includes(name))
    ? undefined
    : name;
}

async function foreignTokenizer(json: Record<string, unknown>, text: string, path: string): Promise<Tokenizer> {
  const configPath = join(dirname(path), "tokenizer_config.json");
  const config = existsSync(configPath) ? parseJson(await readText(configPath), configPath) : {};
  if (!isRecord(config)) throw notTokenizer(configPath, "it is not a JSON object");
  const kind = modelKind(json["model"]);
  if (kind === "unknown") throw notTokenizer(path, "its model is none of BPE, WordPiece and Unigram");
  const named = isRecord(config["eos_token"]) ? config["eos_token"]["content"] : config["eos_token"];
  try {
    // Huge ids would fill the memory of either.
    readAddedTokens(json);
    if (kind === "other") return new HfTokenizer(json, text, config, path);
    return new PipelineTokenizer(json, text, (names) => (typeof named === "string" ? named : endOfText(names)), path);
  } catch (error) {
    if (!(error instanceof CarambaError) || error.message.startsWith(path)) throw error;
    const { code, remedy } = error;
    throw new CarambaError(`${path}: ${error.message}`, { code, ...(remedy ? { remedy } : {}), cause: error });
  }
}

/** BPE, or one for the library; old files do not name it and have merges, or a vocabulary alone. */
function modelKind(model: unknown): "bpe" | "other" | "unknown" {
  if (!isRecord(model)) return "unknown";
  const type = model["type"] ?? ("merges" in model ? "BPE" : "vocab" in model ? "Unigram" : undefined);
  if (type === "BPE") return "bpe";
  return type === "WordPiece" || type === "Unigram" ? "other" : "unknown";
}

async function readText(path: string): Promise<string> {
  try {
    const stat = statSync(path);
    // A pipe would be waited for, a device has no end.
    if (!stat.isFile() && !stat.isDirectory()) throw notTokenizer(path, "it is not a regular file");
    if (stat.size > MAX_FILE_BYTES) throw notTokenizer(path, "it is larger than 128 MiB");
    return await readFile(path, "utf8");
  } catch (error) {
    throw readError(path, error, "read");
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return parseStrictJson(text);
  } catch (error) {
    if (text.includes("\ufffd")) throw notTokenizer(path, "it is a binary file, such as SentencePiece's");
    throw notTokenizer(path, `it is not JSON (${(error as Error).message})`);
  }
}

function notTokenizer(path: string, why: string): CarambaError {
  return new CarambaError(`${path} is not a tokenizer: ${why}`, {
    code: "tokenizer-file",
    remedy: "name a tokenizer.json of Hugging Face tokenizers, or train one with trainBpe",
  });
}

function notThere(spec: string, path: string): CarambaError {
  const encoding = tiktokenEncodings.find((name) => name === spec);
  const known = encoding !== undefined || /^(llama|bpe|char|gpt-?\d)/i.test(spec);
  const looksLikePath = spec.endsWith(".json") || path !== spec || spec.startsWith(".") || spec.startsWith("/");
  if (looksLikePath && !known) {
    return new CarambaError(`no such tokenizer file: ${path}`, {
      code: "missing-file",
      remedy: "check the path; a tokenizer is `byte`, a tokenizer.json, or a folder that holds one",
    });
  }
  return new CarambaError(`tokenizer "${spec}" is not known by name, and no file is called that`, {
    code: "unknown-tokenizer",
    remedy: encoding
      ? `write tiktoken:${encoding}`
      : "fetch the model's tokenizer.json (for Llama: from its Hugging Face repository) and give the path of that tokenizer.json; `byte` and `tiktoken:cl100k_base` need no file",
  });
}
