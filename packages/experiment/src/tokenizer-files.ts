// The tokenizer files of a Hugging Face folder. A folder's own files are copied as they are, chat template and all; a
// tokenizer of Caramba's or of tiktoken is written in the same form. Character vocabularies have none.
import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { BpeTokenizer, ByteTokenizer, CharTokenizer, TiktokenTokenizer, type Tokenizer } from "@caramba/data";
import { openFile, parseStrictJson, readTextFile, removeFile, writeDurably, writeTextDurably } from "@caramba/files";
import type { SpecialIds } from "@caramba/loader";
import { CarambaError } from "@caramba/tensor";

/** What is known of a model's tokenizer after its files were written. */
export interface WrittenTokenizer {
  readonly files: readonly string[];
  readonly special: SpecialIds;
  /** What is to be known of the files: why there are none, that they were not read; null for nothing. */
  readonly missing: string | null;
}

const configName = "tokenizer_config.json";

/** As transformers and its tokenizers write them. */
const copied = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
] as const;

/**
 * Writes a tokenizer that was loaded from `spec` into an existing folder, in the place of whatever tokenizer is there.
 * @param contextLength goes into a tokenizer_config.json that is made anew; null: no limit.
 * @throws CarambaError as `writeDurably`.
 */
export async function writeTokenizerFiles(
  tokenizer: Tokenizer,
  spec: string,
  folder: string,
  contextLength: number | null,
): Promise<WrittenTokenizer> {
  const bos = tokenizer.special.get(beginName(tokenizer) ?? "") ?? null;
  const special = { bos, eos: tokenizer.eosId ?? null, pad: null };
  const source = placeOf(spec);
  const json = source === null ? await jsonOf(tokenizer, spec) : null;
  if (source === null && json === null)
    return { files: [], special, missing: `the tokenizer ${tokenizer.name} has no tokenizer.json` };
  // Parts of an earlier export's tokenizer, its chat template for one, would be taken for this one's.
  for (const name of tokenizerFilesIn(folder)) await removeFile(join(folder, name));
  if (source !== null) {
    const files: string[] = tokenizerFilesIn(source);
    for (const name of files) await copy(join(source, name), join(folder, name));
    if (!files.includes(configName)) files.push(await writeConfig(tokenizer, folder, contextLength));
    return { files, special, missing: null };
  }
  await writeTextDurably(join(folder, "tokenizer.json"), json as string);
  return { files: ["tokenizer.json", await writeConfig(tokenizer, folder, contextLength)], special, missing: null };
}

/**
 * Whether a folder's tokenizer, which `loadTokenizer` refused, is one that transformers reads and Caramba does not:
 * SentencePiece's tokenizer.model alone. Gives null for it, and throws what was thrown for others.
 */
export function orUnread(spec: string): (error: unknown) => null {
  return (error) => {
    const isFolder = existsSync(spec) && statSync(spec).isDirectory();
    const isAlone = isFolder && !existsSync(join(spec, "tokenizer.json")) && existsSync(join(spec, "tokenizer.model"));
    if (isAlone && error instanceof CarambaError && error.code === "tokenizer-file") return null;
    throw error;
  };
}

/** Copies the files of a folder's tokenizer that was not read, in the place of whatever tokenizer is there. */
export async function copyTokenizerFiles(source: string, folder: string): Promise<WrittenTokenizer> {
  for (const name of tokenizerFilesIn(folder)) await removeFile(join(folder, name));
  const files = tokenizerFilesIn(source);
  for (const name of files) await copy(join(source, name), join(folder, name));
  const missing = "tokenizer.model was copied as it is: SentencePiece's files are not read here";
  return { files, special: { bos: null, eos: null, pad: null }, missing };
}

/** Names of the files in a folder that belong to a tokenizer. */
export function tokenizerFilesIn(folder: string): string[] {
  return copied.filter((name) => existsSync(join(folder, name)));
}

/** The folder whose tokenizer.json is meant; null where none is. */
function placeOf(spec: string): string | null {
  if (!existsSync(spec)) return null;
  const folder = statSync(spec).isDirectory() ? spec : basename(spec) === "tokenizer.json" ? dirname(spec) : null;
  return folder !== null && existsSync(join(folder, "tokenizer.json")) ? folder : null;
}

/** tokenizer.json of a tokenizer that is not in a file of that name; null where it has no such form. */
async function jsonOf(tokenizer: Tokenizer, spec: string): Promise<string | null> {
  if (tokenizer instanceof ByteTokenizer) return byteJson(tokenizer);
  if (tokenizer instanceof BpeTokenizer) return tokenizer.toJson();
  if (tokenizer instanceof TiktokenTokenizer) return tokenizer.toJson() ?? null;
  // A tokenizer.json under another name.
  const isFile = spec.endsWith(".json") && existsSync(spec) && !(tokenizer instanceof CharTokenizer);
  return isFile ? readFile(spec, "utf8") : null;
}

/** Bytes are a byte-level BPE without merges whose ids are the bytes. */
function byteJson(tokenizer: ByteTokenizer): string {
  const utf8 = new TextEncoder();
  const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  const [end] = [...tokenizer.special.keys()];
  const names = [...tokenizer.special.keys()].map((name) => utf8.encode(name));
  return new BpeTokenizer({ tokens: [...bytes, ...names], merges: [], special: tokenizer.special, eos: end }).toJson();
}

function beginName(tokenizer: Tokenizer): string | null {
  return tokenizer instanceof TiktokenTokenizer ? (tokenizer.vocabulary.bos ?? null) : null;
}

async function writeConfig(tokenizer: Tokenizer, folder: string, contextLength: number | null): Promise<string> {
  const end = [...tokenizer.special].find(([, id]) => id === tokenizer.eosId)?.[0] ?? null;
  const config = {
    ...(beginName(tokenizer) === null ? {} : { bos_token: beginName(tokenizer) }),
    clean_up_tokenization_spaces: false,
    eos_token: end,
    ...(contextLength === null ? {} : { model_max_length: contextLength }),
    tokenizer_class: "PreTrainedTokenizerFast",
  };
  await writeTextDurably(join(folder, configName), `${JSON.stringify(config, null, 2)}\n`);
  return configName;
}

/** The ids that a model's folder states in its config.json; null where there is none. */
export async function specialIdsOf(folder: string): Promise<SpecialIds | null> {
  const path = join(folder, "config.json");
  if (!existsSync(path)) return null;
  const config = parse(await readTextFile(path, 16 << 20), path);
  const one = (key: string): number | null => (isId(config[key]) ? config[key] : null);
  const eos = config["eos_token_id"];
  const ends = Array.isArray(eos) && eos.every(isId) ? eos : one("eos_token_id");
  return { bos: one("bos_token_id"), eos: ends, pad: one("pad_token_id") };
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function parse(text: string, path: string): Readonly<Record<string, unknown>> {
  try {
    const value = parseStrictJson(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Said below.
  }
  throw new CarambaError(`${path}: it is not a JSON object`, { code: "bad-config", remedy: "obtain it again" });
}

/** Copies a file, which may be a link of the Hub's cache. */
export async function copy(from: string, to: string): Promise<void> {
  // A pipe or a device in the place of the file is refused.
  const file = await openFile(from);
  try {
    const bytes = new Uint8Array(file.size);
    await file.read(0, bytes);
    await writeDurably(to, (writer) => writer.write(bytes));
  } finally {
    await file.close();
  }
}
