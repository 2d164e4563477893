// tokenizer.json, the vocabulary file of Hugging Face tokenizers: writing ours, and reading back files of the same kind
// (byte-level BPE with our pre-tokenisation pattern). Files are untrusted: every id and merge is checked.
import { CarambaError } from "@caramba/tensor";
import { bpeJson, byId } from "./bpe-json.ts";
import type { BpeVocabulary } from "./bpe-tokenizer.ts";
import { bytesToChars, charsToBytes } from "./byte-alphabet.ts";
import { PATTERN } from "./pre-tokenize.ts";

const PRE_TOKENIZER = {
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: PATTERN }, behavior: "Isolated", invert: false },
    { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
};
const DECODER = { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true };

/** The file's text; the same vocabulary always gives the same text. */
export function tokenizerJson(vocabulary: BpeVocabulary): string {
  const specialIds = new Set(vocabulary.special.values());
  const shown = vocabulary.tokens.map((bytes) => bytesToChars(bytes));
  // Written by hand: an object would reorder keys such as "1" and lose one named "__proto__".
  const vocab = shown.flatMap((chars, id) => (specialIds.has(id) ? [] : [`${JSON.stringify(chars)}:${id}`]));
  const merges = vocabulary.merges.map(([left, right]) => [shown[left], shown[right]]);
  for (const [content, id] of byId(vocabulary.special)) vocab.splice(id, 0, `${JSON.stringify(content)}:${id}`);
  return bpeJson({
    ...{ vocab, merges, special: vocabulary.special, ignoreMerges: false },
    ...{ preTokenizer: PRE_TOKENIZER, postProcessor: null, decoder: DECODER },
  });
}

/**
 * The vocabulary of a parsed tokenizer.json of our kind; undefined when it is of another kind (another pattern, a
 * normalizer, another model). Errors: CarambaError `tokenizer-file` when it is of our kind but contradicts itself.
 */
export function parseBpeJson(json: unknown, path: string): BpeVocabulary | undefined {
  if (!isRecord(json) || !isRecord(json["model"])) return undefined;
  const model = json["model"];
  const plain =
    model["type"] === "BPE" &&
    json["normalizer"] == null &&
    json["post_processor"] == null &&
    ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"].every((key) => model[key] == null) &&
    ["fuse_unk", "byte_fallback", "ignore_merges"].every((key) => model[key] == null || model[key] === false) &&
    JSON.stringify(json["pre_tokenizer"]) === JSON.stringify(PRE_TOKENIZER) &&
    isRecord(json["decoder"]) &&
    json["decoder"]["type"] === "ByteLevel";
  if (!plain || !isRecord(model["vocab"]) || !Array.isArray(model["merges"])) return undefined;

  const special = new Map<string, number>();
  const added = Array.isArray(json["added_tokens"]) ? json["added_tokens"] : [];
  for (const token of added) {
    if (!isRecord(token) || typeof token["content"] !== "string" || typeof token["id"] !== "number") return undefined;
    // Tokens that swallow neighbouring spaces or match whole words only need the full library.
    if (token["lstrip"] === true || token["rstrip"] === true || token["single_word"] === true) return undefined;
    if (token["special"] !== true || token["content"] === "") return undefined;
    special.set(token["content"], token["id"]);
  }
  const fail = (what: string): CarambaError =>
    new CarambaError(`${path}: ${what}`, { code: "tokenizer-file", remedy: "the file is damaged; write it again" });
  const utf8 = new TextEncoder();
  const entries = [...Object.entries(model["vocab"]), ...special];
  const size = new Set(entries.map(([, id]) => id)).size;
  const tokens = new Array<Uint8Array | undefined>(size).fill(undefined);
  const ids = new Map<string, number>();
  for (const [chars, id] of entries) {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= size) {
      throw fail(`token ${JSON.stringify(chars)} has id ${String(id)}, but ids must be 0 to ${size - 1} without gaps`);
    }
    const bytes = special.has(chars) ? utf8.encode(chars) : charsToBytes(chars);
    if (bytes === undefined || bytes.length === 0) throw fail(`token ${JSON.stringify(chars)} is not byte-level`);
    if (tokens[id] !== undefined && ids.get(chars) !== id) throw fail(`id ${id} is given to two tokens`);
    tokens[id] = bytes;
    ids.set(chars, id);
  }
  for (let byte = 0; byte < 256; byte++) {
    if (!ids.has(bytesToChars(Uint8Array.of(byte)))) throw fail(`byte ${byte} has no token`);
  }
  const merges = model["merges"].map((merge: unknown, rank): [number, number, number] => {
    const [left, right] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    const triple = [ids.get(left), ids.get(right), ids.get(`${left}${right}`)];
    if (triple.some((id) => id === undefined)) throw fail(`merge ${rank} (${JSON.stringify(merge)}) names no tokens`);
    return triple as [number, number, number];
  });
  return { tokens: tokens as Uint8Array[], merges, special, eos: endOfText([...special.keys()]) };
}

const END_NAMES = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eot_id|>", "<|im_end|>"];

/** Which of these special tokens ends a text, by its usual names. */
export function endOfText(names: readonly string[]): string | undefined {
  return END_NAMES.find((name) => names.includes(name));
}

/** Whether a parsed JSON value is an object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
