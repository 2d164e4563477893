// The BPE model of tokenizer.json: a word to ids. Symbols are the characters of a word, or its bytes in the alphabet of
// GPT-2; a character without token falls back to the tokens of its bytes, then to the unknown token, then to nothing.
// Source: Sennrich et al. 2016; options as in Hugging Face tokenizers, models/bpe.
import { bytesToChars } from "../byte-alphabet.ts";
import { type Merge, MergeTable } from "../merge-table.ts";
import { flag, isJson, type Json, malformed, text, unbuilt } from "./parts.ts";

/** A vocabulary with its merges. */
export interface BpeModel {
  /** Text of each id; undefined where the file has a gap. */
  readonly tokens: readonly (string | undefined)[];
  readonly ids: ReadonlyMap<string, number>;
  /** Ids of a word that is not empty. */
  encode(word: string): Int32Array;
}

// Llama 4 has about 200,000 tokens, Gemma 262,144.
const MAX_ID = 1 << 24;

/** Reads the model. Errors: CarambaError `tokenizer-file`. */
export function readBpeModel(model: Json, byteLevel: boolean): BpeModel {
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"])
    if (model[key] !== undefined && model[key] !== null && model[key] !== "") throw unbuilt(`a BPE model with ${key}`);
  if (typeof model["dropout"] === "number" && model["dropout"] > 0) throw unbuilt("a BPE model with dropout");
  const { ids, tokens } = readVocabulary(model["vocab"]);
  const merges = new MergeTable(tokens.length, readMerges(model["merges"], ids));
  const unknown =
    model["unk_token"] === undefined || model["unk_token"] === null ? undefined : text(model, "unk_token");
  const unknownId = unknown === undefined ? undefined : ids.get(unknown);
  const whole = flag(model, "ignore_merges");
  const symbols = byteLevel
    ? undefined
    : new Symbols(ids, unknownId, flag(model, "fuse_unk"), flag(model, "byte_fallback"));
  const utf8 = new TextEncoder();
  const idOfByte = Array.from({ length: 256 }, (_, byte) => ids.get(bytesToChars(Uint8Array.of(byte))));
  return {
    tokens,
    ids,
    encode: (word) => {
      const bytes = symbols ? undefined : utf8.encode(word);
      const found = whole ? ids.get(bytes ? bytesToChars(bytes) : word) : undefined;
      if (found !== undefined) return Int32Array.of(found);
      if (symbols) return merges.apply(symbols.of(word));
      const start = Array.from(bytes as Uint8Array, (byte) => idOfByte[byte] ?? unknownId);
      return merges.apply(Int32Array.from(start.filter((id) => id !== undefined)));
    },
  };
}

/** Characters to the ids that merging begins with. */
class Symbols {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #unknownId: number | undefined;
  readonly #fuse: boolean;
  readonly #byteFallback: boolean;
  readonly #utf8 = new TextEncoder();

  constructor(ids: ReadonlyMap<string, number>, unknownId: number | undefined, fuse: boolean, byteFallback: boolean) {
    this.#ids = ids;
    this.#unknownId = unknownId;
    this.#fuse = fuse;
    this.#byteFallback = byteFallback;
  }

  of(word: string): Int32Array {
    const out: number[] = [];
    let unknownBefore = false;
    for (const character of word) {
      const id = this.#ids.get(character);
      const bytes = id === undefined && this.#byteFallback ? this.#bytes(character) : undefined;
      if (id !== undefined) out.push(id);
      else if (bytes) for (const byte of bytes) out.push(byte);
      else if (this.#unknownId !== undefined && !(this.#fuse && unknownBefore)) out.push(this.#unknownId);
      unknownBefore = id === undefined && bytes === undefined;
    }
    return Int32Array.from(out);
  }

  /** The tokens of a character's bytes, where the vocabulary has them all. */
  #bytes(character: string): readonly number[] | undefined {
    const out: number[] = [];
    for (const byte of this.#utf8.encode(character)) {
      const id = this.#ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
      if (id === undefined) return undefined;
      out.push(id);
    }
    return out;
  }
}

function readVocabulary(vocab: unknown): { ids: Map<string, number>; tokens: (string | undefined)[] } {
  if (!isJson(vocab)) throw malformed("model: vocab must be an object of ids");
  const ids = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  const entries = Object.entries(vocab);
  // A few gaps are known (ids kept for added tokens); a huge id would only take memory.
  const limit = Math.min(MAX_ID, entries.length * 2 + 65536);
  for (const [token, id] of entries) {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= limit)
      throw malformed(`token ${JSON.stringify(token)} has id ${String(id)}, but ids must be 0 to ${limit - 1}`);
    if (tokens[id] !== undefined) throw malformed(`id ${id} is given to two tokens`);
    while (tokens.length <= id) tokens.push(undefined);
    tokens[id] = token;
    ids.set(token, id);
  }
  return { ids, tokens };
}

function readMerges(merges: unknown, ids: ReadonlyMap<string, number>): Merge[] {
  if (!Array.isArray(merges)) throw malformed("model: merges must be a list");
  return merges.map((merge: unknown, rank): Merge => {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    const [left, right] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    const triple = [ids.get(left), ids.get(right), ids.get(`${left}${right}`)];
    const [a, b, c] = triple;
    if (a === undefined || b === undefined || c === undefined)
      throw malformed(`merge ${rank} (${JSON.stringify(merge)}) names no tokens`);
    return [a, b, c];
  });
}
