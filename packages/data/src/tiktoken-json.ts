// tokenizer.json of a rank vocabulary, so that Hugging Face's tokenizers reads it. tiktoken merges any two neighbours
// whose bytes are a token; a tokenizer.json lists pairs. So every way to cut a token into two tokens is listed, in the
// order of the joined token's rank, then of the parts' (as transformers converts such files). Words that are a token
// whole are not merged at all (ignore_merges).
import { bpeJson } from "./bpe-json.ts";
import { bytesToChars } from "./byte-alphabet.ts";
import type { RankVocabulary } from "./tiktoken-tokenizer.ts";

/** The text of the file; undefined where the words' pattern is not known in the file's syntax. */
export function tiktokenJson({ tokens, special, published, bos }: RankVocabulary): string | undefined {
  if (published === undefined) return undefined;
  const shown = tokens.map((bytes) => (bytes === undefined ? undefined : bytesToChars(bytes)));
  const ranks = new Map(shown.flatMap((chars, id) => (chars === undefined ? [] : [[chars, id] as const])));
  // Special tokens too: where ids have gaps, tokenizers would number the ones it does not find anew.
  const vocab = [...ranks, ...special].map(([chars, id]) => `${JSON.stringify(chars)}:${id}`);
  const merges = [...ranks.keys()].flatMap((chars) => cuts(chars, ranks));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
  const words =
    published === "gpt2"
      ? { ...byteLevel, use_regex: true }
      : {
          type: "Sequence",
          pretokenizers: [
            { type: "Split", pattern: { Regex: published }, behavior: "Isolated", invert: false },
            { ...byteLevel, use_regex: false },
          ],
        };
  return bpeJson({
    ...{ vocab, merges, special, ignoreMerges: true, preTokenizer: words },
    postProcessor: bos === undefined ? null : template(bos, special.get(bos) as number),
    decoder: { ...byteLevel, use_regex: true },
  });
}

/** The pairs of tokens that a token is made of. */
function cuts(chars: string, ranks: ReadonlyMap<string, number>): [string, string][] {
  const found: [string, string][] = [];
  for (let at = 1; at < chars.length; at++) {
    const [left, right] = [chars.slice(0, at), chars.slice(at)];
    if (ranks.has(left) && ranks.has(right)) found.push([left, right]);
  }
  const rank = (part: string): number => ranks.get(part) as number;
  return found.sort(([a, b], [c, d]) => rank(a) - rank(c) || rank(b) - rank(d));
}

/** One begin-of-text token before a text. */
function template(bos: string, id: number): object {
  const first = { SpecialToken: { id: bos, type_id: 0 } };
  const text = (name: "A" | "B", type: number) => ({ Sequence: { id: name, type_id: type } });
  return {
    type: "TemplateProcessing",
    single: [first, text("A", 0)],
    pair: [first, text("A", 0), { SpecialToken: { id: bos, type_id: 1 } }, text("B", 1)],
    special_tokens: { [bos]: { id: bos, ids: [id], tokens: [bos] } },
  };
}
