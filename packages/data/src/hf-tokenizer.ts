// A tokenizer.json whose model is not BPE (WordPiece, Unigram: BERT, T5 ...) through the Hugging Face library.
import { createHash } from "node:crypto";
import { CarambaError } from "@caramba/tensor";
import { Tokenizer as HfLibrary } from "@huggingface/tokenizers";
import { readAddedTokens } from "./hf/added-tokens.ts";
import { demandBoundedPatterns, unbuilt } from "./hf/parts.ts";
import { unknownId } from "./token-bytes.ts";
import type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from "./tokenizer.ts";
import { endOfText, isRecord } from "./tokenizer-json.ts";

/** Adapter to @huggingface/tokenizers. */
export class HfTokenizer implements Tokenizer {
  readonly name: string;
  readonly hash: string;
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  readonly special: ReadonlyMap<string, number>;
  readonly #library: HfLibrary;
  readonly #special: readonly string[];

  /**
   * @param json parsed tokenizer.json; @param text its text, for the hash; @param config parsed tokenizer_config.json.
   * Errors: CarambaError `tokenizer-file` when the library rejects it.
   */
  constructor(json: object, text: string, config: Record<string, unknown>, path: string) {
    demandIds(json, path);
    // Vocabularies hold no patterns and are large.
    const { normalizer, pre_tokenizer, post_processor, decoder } = json as Record<string, unknown>;
    demandBoundedPatterns([normalizer, pre_tokenizer, post_processor, decoder]);
    // The library finds such names inside of words too.
    const alone = readAddedTokens(json as Record<string, unknown>).find(({ singleWord }) => singleWord);
    if (alone)
      throw unbuilt(`the added token ${JSON.stringify(alone.content)} with single_word, in a model other than BPE,`);
    try {
      this.#library = new HfLibrary(json, { clean_up_tokenization_spaces: false, ...config });
    } catch (error) {
      throw new CarambaError(`${path} is not a usable tokenizer.json: ${(error as Error).message}`, {
        code: "tokenizer-file",
        remedy: "fetch the file again; only the tokenizer.json format of Hugging Face is read",
        cause: error,
      });
    }
    this.name = path;
    this.hash = createHash("sha256").update(text).update(JSON.stringify(config)).digest("hex");
    const added = [...this.#library.get_added_tokens_decoder()];
    this.vocabSize = Math.max(-1, ...added.map(([id]) => id), maxId(this.#library.get_vocab(true))) + 1;
    this.special = new Map(added.filter(([, token]) => token.special).map(([id, token]) => [token.content, id]));
    this.#special = added.filter(([, token]) => token.special).map(([, token]) => token.content);
    const named = isRecord(config["eos_token"]) ? config["eos_token"]["content"] : config["eos_token"];
    const eos = typeof named === "string" ? named : endOfText(added.map(([, token]) => token.content));
    this.eosId = eos === undefined ? undefined : this.#library.token_to_id(eos);
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const held = options.special === false ? this.#special.find((name) => text.includes(name)) : undefined;
    if (held !== undefined) {
      throw new CarambaError(
        `the text holds the name of a special token, ${held}, which ${this.name} would turn into it`,
        {
          code: "special-token",
          remedy: "take the name out of the text, or leave that document out",
        },
      );
    }
    // A character that is in no token comes as undefined where the model has no unknown-token.
    const { ids } = this.#guard(() => this.#library.encode(text, { add_special_tokens: options.addSpecial ?? false }));
    return Int32Array.from(ids as readonly (number | undefined)[], (id) => {
      if (id !== undefined) return id;
      throw new CarambaError(`${this.name} has no token for a character of the text`, { code: "unknown-character" });
    });
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const list = Array.from(ids);
    for (const id of list) {
      if (this.#library.id_to_token(id) === undefined) throw unknownId(id, this.vocabSize, this.name);
    }
    // The library refuses an empty list.
    if (list.length === 0) return "";
    return this.#guard(() => this.#library.decode(list, { skip_special_tokens: options.skipSpecial ?? false }));
  }

  /** The library reads some parts of a file only when it needs them. */
  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new CarambaError(`${this.name} is not a usable tokenizer.json: ${(error as Error).message}`, {
        code: "tokenizer-file",
        remedy: "fetch the file again",
        cause: error,
      });
    }
  }

  decoder(options: DecodeOptions = {}): StreamingDecoder {
    // Decoders may look back (spaces, bytes of one character), so the ids since the last certain point are kept and
    // their text compared; that point moves on whenever the text ends in a whole character.
    let ids: number[] = [];
    let shown = "";
    const grow = (): string => {
      const text = this.decode(ids, options);
      const fresh = text.slice(shown.length);
      shown = text;
      return fresh;
    };
    return {
      push: (id) => {
        ids.push(id);
        if (this.decode(ids, options).endsWith("\ufffd")) return "";
        const fresh = grow();
        const last = ids.slice(-8);
        // Not where the bytes of one character would be cut apart.
        if (ids.length > 32 && !this.decode(last, options).includes("\ufffd")) {
          ids = last;
          shown = this.decode(ids, options);
        }
        return fresh;
      },
      end: grow,
    };
  }
}

// As for added tokens: a larger id is no model's, and the library goes through all up to it.
const MOST_IDS = 2 ** 24;

/** Ids of WordPiece are the file's; those of Unigram are places in a list. */
function demandIds(json: object, path: string): void {
  const model = "model" in json && isRecord(json.model) ? json.model : {};
  for (const [token, id] of isRecord(model["vocab"]) ? Object.entries(model["vocab"]) : []) {
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < MOST_IDS) continue;
    const shown = typeof id === "number" ? String(id) : typeof id;
    throw new CarambaError(`${path}: token ${JSON.stringify(token)} has id ${shown}, no whole number below 2^24`, {
      code: "tokenizer-file",
      remedy: "the file is damaged; fetch it again",
    });
  }
}

function maxId(vocab: ReadonlyMap<string, number>): number {
  let max = -1;
  for (const id of vocab.values()) if (id > max) max = id;
  return max;
}
