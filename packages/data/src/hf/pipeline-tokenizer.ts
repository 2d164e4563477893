// A tokenizer.json with a BPE model (Llama 2 and 3, Mistral, Qwen, SmolLM, Gemma, GPT-2 ...): added tokens are cut out,
// the text between is normalized, cut into words and merged; decoding runs the file's decoder token by token. Ids and
// texts are those of the Rust library, except that truncation and padding, which some files carry, are never applied.
import { createHash } from "node:crypto";
import { charsToBytes } from "../byte-alphabet.ts";
import { IntBuffer } from "../int-buffer.ts";
import { byteStreamDecoder, decodeBytes, unknownId } from "../token-bytes.ts";
import type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "../tokenizer.ts";
import { WordCache } from "../word-cache.ts";
import { AddedTokenSplitter, type Piece, readAddedTokens } from "./added-tokens.ts";
import { type BpeModel, readBpeModel } from "./bpe-model.ts";
import { buildDecoder, type DecodeChain } from "./decoder.ts";
import { buildNormalizer, type Normalizer } from "./normalizer.ts";
import { isJson, type Json, malformed } from "./parts.ts";
import { buildPreTokenizer, type PreTokenizer } from "./pre-tokenizer.ts";
import { type Around, readTemplate } from "./template.ts";

const NONE: ReadonlySet<number> = new Set();

/** Tokenizer of a Hugging Face tokenizer.json whose model is BPE. */
export class PipelineTokenizer implements Tokenizer {
  readonly name: string;
  readonly hash: string;
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  readonly special: ReadonlyMap<string, number>;
  readonly #normalize: Normalizer;
  readonly #pre: PreTokenizer;
  readonly #model: BpeModel;
  readonly #around: Around;
  readonly #decoder: DecodeChain;
  /** Text of each id; undefined where there is none. */
  readonly #tokens: readonly (string | undefined)[];
  /** Bytes of each id, where the decoder is ByteLevel alone. */
  readonly #bytes: readonly (Uint8Array | undefined)[] | undefined;
  readonly #specialIds: ReadonlySet<number>;
  readonly #raw: AddedTokenSplitter;
  readonly #normalized: AddedTokenSplitter;
  readonly #words: WordCache;

  /**
   * @param json parsed tokenizer.json; @param source its text, for the hash; @param eos name of the end-of-text token.
   * Errors: CarambaError `tokenizer-file` for what is malformed or not supported.
   */
  constructor(json: Json, source: string, eos: (names: readonly string[]) => string | undefined, path: string) {
    this.name = path;
    this.#normalize = buildNormalizer(json["normalizer"]);
    this.#pre = buildPreTokenizer(json["pre_tokenizer"]);
    if (!isJson(json["model"])) throw malformed("model must be an object");
    this.#model = readBpeModel(json["model"], this.#pre.byteLevel);
    this.#around = readTemplate(json["post_processor"]);
    this.#decoder = buildDecoder(json["decoder"]);
    const added = readAddedTokens(json);
    const tokens = [...this.#model.tokens];
    for (const { id, content, normalized } of added) {
      const own = this.#model.ids.get(content);
      if (own !== undefined && own !== id) throw malformed(`${JSON.stringify(content)} has the ids ${own} and ${id}`);
      while (tokens.length <= id) tokens.push(undefined);
      // Decoding shows what was matched.
      tokens[id] = normalized ? this.#normalize(content) : content;
    }
    this.#tokens = tokens;
    this.vocabSize = tokens.length;
    for (const id of [...this.#around.before, ...this.#around.after])
      if (tokens[id] === undefined) throw malformed(`post_processor: no token has id ${id}`);
    this.special = new Map(added.filter((token) => token.special).map((token) => [token.content, token.id]));
    this.#specialIds = new Set(this.special.values());
    this.#raw = new AddedTokenSplitter(added.filter((token) => !token.normalized));
    this.#normalized = new AddedTokenSplitter(
      added.filter((token) => token.normalized),
      this.#normalize,
    );
    const plainBytes = isJson(json["decoder"]) && json["decoder"]["type"] === "ByteLevel";
    const utf8 = new TextEncoder();
    this.#bytes = plainBytes
      ? tokens.map((token) => (token === undefined ? undefined : (charsToBytes(token) ?? utf8.encode(token))))
      : undefined;
    this.#words = new WordCache((word) => this.#model.encode(word));
    const end = eos(added.map((token) => token.content));
    this.eosId = end === undefined ? undefined : (added.find((t) => t.content === end)?.id ?? this.#model.ids.get(end));
    this.hash = createHash("sha256")
      .update(source)
      .update(`\neos ${this.eosId ?? "none"}`)
      .digest("hex");
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const out = new IntBuffer(Math.ceil(text.length / 3) + 8);
    if (options.addSpecial) for (const id of this.#around.before) out.push(id);
    const plain = options.special === false;
    // Halves of surrogate pairs are no characters; they become U+FFFD, as when text is written as UTF-8.
    for (const piece of this.#raw.split(text.toWellFormed(), plain)) {
      if ("id" in piece) out.push(piece.id);
      else this.#encodePiece(piece, plain, out);
    }
    if (options.addSpecial) for (const id of this.#around.after) out.push(id);
    return out.take();
  }

  #encodePiece(piece: Piece & { readonly text: string }, plain: boolean, out: IntBuffer): void {
    for (const part of this.#normalized.split(this.#normalize(piece.text), plain)) {
      if ("id" in part) out.push(part.id);
      else
        for (const word of this.#pre.cut(part.text, piece.at === 0 && part.at === 0)) out.append(this.#words.ids(word));
    }
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const skip = options.skipSpecial ? this.#specialIds : NONE;
    if (this.#bytes) return decodeBytes(ids, this.#bytes, skip, this.name);
    const decoder = this.#stream(skip, false);
    let text = "";
    for (let i = 0; i < ids.length; i++) text += decoder.push(ids[i] as number);
    return text + decoder.end();
  }

  decoder(options: DecodeOptions = {}): StreamingDecoder {
    const skip = options.skipSpecial ? this.#specialIds : NONE;
    return this.#bytes ? byteStreamDecoder(this.#bytes, skip, this.name) : this.#stream(skip, true);
  }

  #stream(skip: ReadonlySet<number>, eager: boolean): StreamingDecoder {
    let step = this.#decoder.start(eager);
    return {
      push: (id) => {
        const token = this.#tokens[id];
        if (token === undefined) throw unknownId(id, this.vocabSize, this.name);
        return skip.has(id) ? "" : step.push(token).join("");
      },
      end: () => {
        const text = step.end().join("");
        step = this.#decoder.start(eager);
        return text;
      },
    };
  }
}
