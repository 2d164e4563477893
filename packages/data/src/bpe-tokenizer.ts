// Byte-level BPE: text -> words (pre-tokenize.ts) -> bytes -> merges, lowest rank first, until none applies.
// Words repeat, so their ids are remembered; a word's own merges run over a linked list with a heap of candidate
// pairs, O(n log n) in its length. Saved as Hugging Face tokenizer.json (tokenizer-json.ts).
import { createHash } from "node:crypto";
import { writeFileDurably } from "./durable-file.ts";
import { Heap } from "./heap.ts";
import { IntBuffer } from "./int-buffer.ts";
import { forEachWord, ownCopy } from "./pre-tokenize.ts";
import { byteStreamDecoder, decodeBytes } from "./token-bytes.ts";
import type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "./tokenizer.ts";
import { tokenizerJson } from "./tokenizer-json.ts";

/** A vocabulary: what each id stands for, and which pairs merge into which id, first rank first. */
export interface BpeVocabulary {
  /** Bytes of each id; a special token's bytes are those of its name. */
  readonly tokens: readonly Uint8Array[];
  /** [left id, right id, merged id], by rank. */
  readonly merges: readonly (readonly [number, number, number])[];
  readonly special: ReadonlyMap<string, number>;
  readonly eos?: string | undefined;
}

const MAX_CACHED_WORDS = 1 << 17;
const MAX_CACHED_LENGTH = 64;
const NONE: ReadonlySet<number> = new Set();

/** Byte-level BPE tokenizer, trained by `trainBpe` or loaded by `loadTokenizer`. */
export class BpeTokenizer implements Tokenizer {
  readonly name: string;
  readonly hash: string;
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  readonly vocabulary: BpeVocabulary;
  readonly #idOfByte = new Int32Array(256);
  readonly #rankOfPair = new Map<number, number>();
  readonly #specialIds: ReadonlySet<number>;
  readonly #specialPattern: RegExp | undefined;
  readonly #json: string;
  readonly #words = new Map<string, Int32Array>();
  readonly #utf8 = new TextEncoder();

  constructor(vocabulary: BpeVocabulary, name?: string) {
    this.vocabulary = vocabulary;
    this.vocabSize = vocabulary.tokens.length;
    this.name = name ?? `bpe-${this.vocabSize}`;
    this.eosId = vocabulary.eos === undefined ? undefined : vocabulary.special.get(vocabulary.eos);
    this.#specialIds = new Set(vocabulary.special.values());
    this.#specialPattern = specialPattern([...vocabulary.special.keys()]);
    vocabulary.tokens.forEach((bytes, id) => {
      if (bytes.length === 1 && !this.#specialIds.has(id)) this.#idOfByte[bytes[0] as number] = id;
    });
    vocabulary.merges.forEach(([left, right], rank) => {
      this.#rankOfPair.set(left * this.vocabSize + right, rank);
    });
    this.#json = tokenizerJson(vocabulary);
    this.hash = createHash("sha256").update(this.#json).digest("hex");
  }

  /** The text of tokenizer.json; `hash` is its sha256. */
  toJson(): string {
    return this.#json;
  }

  /** Writes tokenizer.json (whole or not at all), for Caramba and for any Hugging Face tokenizer library. */
  async save(path: string): Promise<void> {
    await writeFileDurably(path, this.#json);
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
      let ids = this.#words.get(word);
      if (ids === undefined) {
        ids = this.#merge(this.#utf8.encode(word));
        if (word.length <= MAX_CACHED_LENGTH) {
          if (this.#words.size >= MAX_CACHED_WORDS) this.#words.clear();
          this.#words.set(ownCopy(word), ids);
        }
      }
      out.append(ids);
    });
  }

  /** Applies the merges to the bytes of one word. */
  #merge(bytes: Uint8Array): Int32Array {
    const count = bytes.length;
    const ids = new Int32Array(count);
    const next = new Int32Array(count);
    const previous = new Int32Array(count);
    // Candidate = rank * 2^32 + position: one number that orders by rank, then from left to right.
    const heap = new Heap<number>((a, b) => a < b);
    for (let i = 0; i < count; i++) {
      ids[i] = this.#idOfByte[bytes[i] as number] as number;
      next[i] = i + 1 < count ? i + 1 : -1;
      previous[i] = i - 1;
    }
    const consider = (at: number): void => {
      const after = at === -1 ? -1 : (next[at] as number);
      if (after === -1) return;
      const rank = this.#rankOfPair.get((ids[at] as number) * this.vocabSize + (ids[after] as number));
      if (rank !== undefined) heap.push(rank * 4294967296 + at);
    };
    for (let i = 0; i < count; i++) consider(i);
    let left = count;
    for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
      const rank = Math.floor(top / 4294967296);
      const at = top % 4294967296;
      const after = next[at] as number;
      const merge = this.vocabulary.merges[rank] as readonly [number, number, number];
      // Stale when either symbol has been merged away since.
      if (ids[at] !== merge[0] || after === -1 || ids[after] !== merge[1]) continue;
      ids[at] = merge[2];
      ids[after] = -1;
      left--;
      const beyond = next[after] as number;
      next[at] = beyond;
      if (beyond !== -1) previous[beyond] = at;
      consider(previous[at] as number);
      consider(at);
    }
    const out = new Int32Array(left);
    for (let at = 0, n = 0; at !== -1 && n < left; at = next[at] as number) out[n++] = ids[at] as number;
    return out;
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
