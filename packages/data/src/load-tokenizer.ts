// From what a manifest says ("byte", a path) to a tokenizer.
import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CarambaError } from "@caramba/tensor";
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import { ByteTokenizer } from "./byte-tokenizer.ts";
import { CharTokenizer } from "./char-tokenizer.ts";
import { fileError } from "./durable-file.ts";
import { PipelineTokenizer } from "./hf/pipeline-tokenizer.ts";
import { HfTokenizer } from "./hf-tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { endOfText, isRecord, parseBpeJson } from "./tokenizer-json.ts";

// The largest known tokenizer.json files have about 35 MB.
const MAX_FILE_BYTES = 128 << 20;

/**
 * @param spec `byte`; or a path to a tokenizer.json (trained here or by Hugging Face tools), to a character vocabulary
 *   {type: "char"}, or to a folder that holds tokenizer.json.
 * Errors: CarambaError `unknown-tokenizer` for a name that is no file, `missing-file`, `tokenizer-file`.
 */
export async function loadTokenizer(spec: string): Promise<Tokenizer> {
  if (spec === "byte") return new ByteTokenizer();
  const isFolder = existsSync(spec) && statSync(spec).isDirectory();
  const path = isFolder ? join(spec, "tokenizer.json") : spec;
  if (!existsSync(path)) throw notThere(spec, path);
  const text = await readText(path);
  const json = parseJson(text, path);
  if (!isRecord(json)) throw notTokenizer(path, "it is not a JSON object");
  const char = CharTokenizer.fromJson(json, path);
  if (char !== undefined) return char;
  const vocabulary = parseBpeJson(json, path);
  if (vocabulary !== undefined) return new BpeTokenizer(vocabulary);
  const configPath = join(dirname(path), "tokenizer_config.json");
  const config = existsSync(configPath) ? parseJson(await readText(configPath), configPath) : {};
  if (!isRecord(config)) throw notTokenizer(configPath, "it is not a JSON object");
  if (!isBpe(json["model"])) return new HfTokenizer(json, text, config, path);
  const named = isRecord(config["eos_token"]) ? config["eos_token"]["content"] : config["eos_token"];
  try {
    return new PipelineTokenizer(json, text, (names) => (typeof named === "string" ? named : endOfText(names)), path);
  } catch (error) {
    if (!(error instanceof CarambaError) || error.message.startsWith(path)) throw error;
    const { code, remedy } = error;
    throw new CarambaError(`${path}: ${error.message}`, { code, ...(remedy ? { remedy } : {}), cause: error });
  }
}

/** BPE by name, or in old files, which do not name it, by its merges. */
function isBpe(model: unknown): boolean {
  return isRecord(model) && (model["type"] === "BPE" || (model["type"] === undefined && "merges" in model));
}

async function readText(path: string): Promise<string> {
  try {
    if (statSync(path).size > MAX_FILE_BYTES) throw notTokenizer(path, "it is larger than 128 MiB");
    return await readFile(path, "utf8");
  } catch (error) {
    throw fileError("read", path, error);
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
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
  const known = /^(tiktoken|llama|bpe|char|gpt-?\d|cl100k_base|o200k_base|p50k_base|r50k_base)/i.test(spec);
  const looksLikePath = spec.endsWith(".json") || path !== spec || spec.startsWith(".") || spec.startsWith("/");
  if (looksLikePath && !known) {
    return new CarambaError(`no such tokenizer file: ${path}`, {
      code: "missing-file",
      remedy: "check the path; a tokenizer is `byte`, a tokenizer.json, or a folder that holds one",
    });
  }
  return new CarambaError(`tokenizer "${spec}" is not known by name, and no file is called that`, {
    code: "unknown-tokenizer",
    remedy:
      "fetch the model's tokenizer.json (for Llama: from its Hugging Face repository) and give its path; `byte` needs no file",
  });
}
