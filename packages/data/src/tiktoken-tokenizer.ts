// Rank vocabularies, as OpenAI's tiktoken and Llama 3's tokenizer.model have them: a token's rank is its id, and the two
// neighbours whose joined bytes have the lowest rank merge first. Words are byte strings (one character per byte).
// O(n log n) in a word's length. Source: the README and `_educational.py` of tiktoken.
import { createHash } from "node:crypto";
import { Heap } from "./heap.ts";
import { AddedTokenSplitter } from "./hf/added-tokens.ts";
import { IntBuffer } from "./int-buffer.ts";
import { tiktokenJson } from "./tiktoken-json.ts";
import { byteStreamDecoder, decodeBytes } from "./token-bytes.ts";
import type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "./tokenizer.ts";
import { WordCache } from "./word-cache.ts";

/** A rank vocabulary. */
export interface RankVocabulary {
  readonly name: string;
  /** Bytes of each id; undefined where there is none. All 256 single bytes are among them. */
  readonly tokens: readonly (Uint8Array | undefined)[];
  readonly special: ReadonlyMap<string, number>;
  /** Matches one word after another; flags g and u. */
  readonly pattern: RegExp;
  readonly eos: string;
  /** Special token before a text, where `addSpecial` asks for it. */
  readonly bos?: string;
  /** The pattern as a tokenizer.json has it, or `gpt2` for the one of its ByteLevel; absent: none that is known. */
  readonly published?: string;
}

const NONE: ReadonlySet<number> = new Set();

/** Byte-level BPE by ranks. */
export class TiktokenTokenizer implements Tokenizer {
  readonly name: string;
  readonly hash: string;
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  readonly special: ReadonlyMap<string, number>;
  readonly vocabulary: RankVocabulary;
  readonly #ranks = new Map<string, number>();
  readonly #tokens: readonly (Uint8Array | undefined)[];
  readonly #pattern: RegExp;
  readonly #bosId: number | undefined;
  readonly #splitter: AddedTokenSplitter;
  readonly #specialIds: ReadonlySet<number>;
  readonly #words: WordCache = new WordCache((word) => this.#merge(Buffer.from(word).toString("latin1")));

  constructor(vocabulary: RankVocabulary) {
    const { name, tokens, special, pattern, eos, bos } = vocabulary;
    this.vocabulary = vocabulary;
    this.name = name;
    this.special = special;
    const hash = createHash("sha256").update(`${pattern.source}\n`);
    tokens.forEach((bytes, id) => {
      if (bytes === undefined) return;
      this.#ranks.set(Buffer.from(bytes).toString("latin1"), id);
      hash.update(`${id} `).update(bytes);
    });
    this.hash = hash.update(JSON.stringify([...special])).digest("hex");
    const all = [...tokens];
    for (const [content, id] of special) {
      while (all.length <= id) all.push(undefined);
      all[id] = Buffer.from(content);
    }
    this.#tokens = all;
    this.vocabSize = all.length;
    this.#pattern = pattern;
    this.eosId = special.get(eos);
    this.#bosId = bos === undefined ? undefined : special.get(bos);
    this.#specialIds = new Set(special.values());
    const plain = { special: true, singleWord: false, lstrip: false, rstrip: false, normalized: false };
    this.#splitter = new AddedTokenSplitter([...special].map(([content, id]) => ({ id, content, ...plain })));
  }

  /** The text of a tokenizer.json; undefined where there is none. */
  toJson(): string | undefined {
    return tiktokenJson(this.vocabulary);
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const out = new IntBuffer(Math.ceil(text.length / 3) + 8);
    if (options.addSpecial && this.#bosId !== undefined) out.push(this.#bosId);
    for (const piece of this.#splitter.split(text.toWellFormed(), options.special === false)) {
      if ("id" in piece) out.push(piece.id);
      else for (const [word] of piece.text.matchAll(this.#pattern)) out.append(this.#words.ids(word));
    }
    return out.take();
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    return decodeBytes(ids, this.#tokens, options.skipSpecial ? this.#specialIds : NONE, this.name);
  }

  decoder(options: DecodeOptions = {}): StreamingDecoder {
    return byteStreamDecoder(this.#tokens, options.skipSpecial ? this.#specialIds : NONE, this.name);
  }

  /** Ids of one word, given as a byte string. */
  #merge(word: string): Int32Array {
    const whole = this.#ranks.get(word);
    if (whole !== undefined) return Int32Array.of(whole);
    const count = word.length;
    // A part begins at `at` and ends where the next one begins; end[at] = 0 marks a part that was merged away.
    const end = Int32Array.from({ length: count }, (_, i) => i + 1);
    const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
    // Candidate = [rank, start, end of the joined part]: lowest rank first, then leftmost.
    const heap = new Heap<readonly [number, number, number]>((a, b) => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]));
    const consider = (at: number): void => {
      const middle = at < 0 ? count : (end[at] as number);
      if (middle >= count) return;
      const stop = end[middle] as number;
      const rank = this.#ranks.get(word.slice(at, stop));
      if (rank !== undefined) heap.push([rank, at, stop]);
    };
    for (let i = 0; i < count; i++) consider(i);
    for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
      const [, at, stop] = top;
      const middle = end[at] as number;
      // Stale when either part has changed since.
      if (middle === 0 || middle >= count || end[middle] !== stop) continue;
      end[at] = stop;
      end[middle] = 0;
      if (stop < count) previous[stop] = at;
      consider(previous[at] as number);
      consider(at);
    }
    const out: number[] = [];
    for (let at = 0; at < count; at = end[at] as number)
      out.push(this.#ranks.get(word.slice(at, end[at] as number)) as number);
    return Int32Array.from(out);
  }
}
