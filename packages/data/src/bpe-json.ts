// The text of a tokenizer.json whose model is byte-level BPE: the parts that differ between vocabularies, put together
// in the order in which Hugging Face's tokenizers writes them, one section a line.

/** What one vocabulary's file says that another's does not. */
export interface BpeFile {
  /** `"chars":id` of each token, in the order of ids; text, since an object would reorder keys such as "1". */
  readonly vocab: readonly string[];
  readonly merges: readonly (readonly (string | undefined)[])[];
  /** Words that are a token whole are taken as such, whatever the merges say. */
  readonly ignoreMerges: boolean;
  readonly special: Iterable<readonly [content: string, id: number]>;
  readonly preTokenizer: object;
  readonly postProcessor: object | null;
  readonly decoder: object;
}

export function bpeJson(file: BpeFile): string {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const model = [
    '"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null',
    `"fuse_unk":false,"byte_fallback":false,"ignore_merges":${file.ignoreMerges}`,
    `"vocab":{${file.vocab.join(",")}}`,
    `"merges":${JSON.stringify(file.merges)}`,
  ];
  const added = byId(file.special).map(([content, id]) => ({ id, content, ...flags }));
  return [
    '{"version":"1.0","truncation":null,"padding":null',
    `"added_tokens":${JSON.stringify(added)}`,
    '"normalizer":null',
    `"pre_tokenizer":${JSON.stringify(file.preTokenizer)}`,
    `"post_processor":${JSON.stringify(file.postProcessor)}`,
    `"decoder":${JSON.stringify(file.decoder)}`,
    `"model":{${model.join(",")}}}\n`,
  ].join(",\n");
}

/** Special tokens in the order of their ids. */
export function byId(special: BpeFile["special"]): (readonly [content: string, id: number])[] {
  return [...special].sort((a, b) => a[1] - b[1]);
}
