/** What cases need of a tokenizer; every Tokenizer of @caramba/data is one. (That package reads files, this one must not.) */
export interface CaseTokenizer {
  readonly name: string;
  /** Ids are 0 <= id < vocabSize. */
  readonly vocabSize: number;
  /** The end-of-text token, where there is one. */
  readonly eosId: number | undefined;
  encode(text: string): Int32Array;
  decode(ids: ArrayLike<number>): string;
}
