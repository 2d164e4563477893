// Byte-level BPE: text -> words (pre-tokenize.ts) -> bytes -> merges, lowest rank first, until none applies.
// (merge-table.ts). Saved as Hugging Face tokenizer.json (tokenizer-json.ts).

import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { makeFolder, writeTextDurably } from "@caramba/files";
import { IntBuffer } from "./int-buffer.ts";
import { MergeTable } from "./merge-table.ts";
import { forEachWord } from "./pre-tokenize.ts";
import { byteStreamDecoder, decodeBytes } from "./token-bytes.ts";
import type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "./tokenizer.ts";
import { tokenizerJson } from "./tokenizer-json.ts";
import { WordCache } from "./word-cache.ts";

/** A vocabulary: what each id stands for, and which pairs merge into which id, first rank first. */
export interface BpeVocabulary {
  /** Bytes of each id; a special token's bytes are those of its name. */
  readonly tokens: readonly Uint8Array[];
  /** [left id, right id, merged id], by rank. */
  readonly merges: readonly (readonly [number, number, number])[];
  readonly special: ReadonlyMap<string, number>;
  readonly eos?: string | undefined;
}

const NONE: ReadonlySet<number> = new Set();

/** Byte-level BPE tokenizer, trained by `trainBpe` or loaded by `loadTokenizer`. */
export class BpeTokenizer implements Tokenizer {
  readonly name: string;
  readonly hash: string;
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  readonly special: ReadonlyMap<string, number>;
  readonly vocabulary: BpeVocabulary;
  readonly #idOfByte = new Int32Array(256);
  readonly #merges: MergeTable;
  readonly #specialIds: ReadonlySet<number>;
  readonly #specialPattern: RegExp | undefined;
  readonly #json: string;
  readonly #words: WordCache = new WordCache((word) => this.#merge(this.#utf8.encode(word)));
  readonly #utf8 = new TextEncoder();

  constructor(vocabulary: BpeVocabulary, name?: string) {
    this.vocabulary = vocabulary;
    this.vocabSize = vocabulary.tokens.length;
    this.special = vocabulary.special;
    this.name = name ?? `bpe-${this.vocabSize}`;
    this.eosId = vocabulary.eos === undefined ? undefined : vocabulary.special.get(vocabulary.eos);
    this.#specialIds = new Set(vocabulary.special.values());
    this.#specialPattern = specialPattern([...vocabulary.special.keys()]);
    vocabulary.tokens.forEach((bytes, id) => {
      if (bytes.length === 1 && !this.#specialIds.has(id)) this.#idOfByte[bytes[0] as number] = id;
    });
    this.#merges = new MergeTable(this.vocabSize, vocabulary.merges);
    this.#json = tokenizerJson(vocabulary);
    this.hash = createHash("sha256").update(this.#json).digest("hex");
  }

  /** The text of tokenizer.json; `hash` is its sha256. */
  toJson(): string {
    return this.#json;
  }

  /** Writes tokenizer.json (whole or not at all), for Caramba and for any Hugging Face tokenizer library. */
  async save(path: string): Promise<void> {
    await makeFolder(dirname(path));
    await writeTextDurably(path, this.#json);
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    // About 3.5 bytes per token; the buffer grows where that is wrong.
    const out = new IntBuffer(Math.ceil(text.length / 3) + 8);
    if (this.#specialPattern === undefined || options.special === false) {
      this.#encodePlain(text, out);
    } else {
      for (const part of text.split(this.#specialPattern)) {
        const id = this.vocabulary.special.get(part);
        if (id === undefined) this.#encodePlain(part, out);
        else out.push(id);
      }
    }
    return out.take();
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    return decodeBytes(ids, this.vocabulary.tokens, options.skipSpecial ? this.#specialIds : NONE, this.name);
  }

  decoder(options: DecodeOptions = {}): StreamingDecoder {
    return byteStreamDecoder(this.vocabulary.tokens, options.skipSpecial ? this.#specialIds : NONE, this.name);
  }

  #encodePlain(text: string, out: IntBuffer): void {
    forEachWord(text, (word) => {
      out.append(this.#words.ids(word));
    });
  }

  #merge(bytes: Uint8Array): Int32Array {
    const ids = new Int32Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) ids[i] = this.#idOfByte[bytes[i] as number] as number;
    return this.#merges.apply(ids);
  }
}

function specialPattern(names: readonly string[]): RegExp | undefined {
  if (names.length === 0) return undefined;
  // Longest first, so that a name that begins another does not hide it.
  const escaped = [...names]
    .sort((a, b) => b.length - a.length)
    .map((name) => name.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  return new RegExp(`(${escaped.join("|")})`);
}
