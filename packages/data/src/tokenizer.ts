// What every tokenizer is: a pure map from text to ids below vocabSize and back.

/** How `encode` treats the text. */
export interface EncodeOptions {
  /**
   * Whether a special token's name in the text (`<|endoftext|>`) becomes that token. Default true, as in Hugging Face
   * tokenizers; pass false for text that is not trusted, such as a corpus.
   */
  readonly special?: boolean;
  /**
   * Whether the special tokens that the tokenizer's own file puts around a text are added, such as Llama's begin-of-text.
   * Default false. Tokenizers without such a template add nothing.
   */
  readonly addSpecial?: boolean;
}

/** How `decode` treats the ids. */
export interface DecodeOptions {
  /** Leave special tokens out of the text. Default false. */
  readonly skipSpecial?: boolean;
}

/** Turns ids into text as they come; a character whose bytes are not complete yet is held back. */
export interface StreamingDecoder {
  /** Text that became certain with this id (may be empty). */
  push(id: number): string;
  /** What was held back; incomplete bytes come out as U+FFFD. */
  end(): string;
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** Short name for people, e.g. `bpe-2048`. */
  readonly name: string;
  /** sha256 (hex) of the vocabulary and rules: two tokenizers with one hash give the same ids. */
  readonly hash: string;
  /** Ids are 0 <= id < vocabSize. */
  readonly vocabSize: number;
  /** The end-of-text token, where there is one. */
  readonly eosId: number | undefined;
  /** Special tokens by name. */
  readonly special: ReadonlyMap<string, number>;
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** Throws CarambaError `token-id` for an id that is not in the vocabulary. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  decoder(options?: DecodeOptions): StreamingDecoder;
}
