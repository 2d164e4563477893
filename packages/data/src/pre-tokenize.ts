// Pre-tokenisation: text is cut into words, and byte pairs are merged only inside a word. The pattern follows GPT-4
// (cl100k_base) and Llama 3: contractions, a letter run with one leading non-letter, up to three digits, a run of
// symbols with one leading space, line ends, other white space. Every character falls into exactly one word.

const CONTRACTION = "'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])";

/** The pattern as tokenizer.json holds it (Oniguruma syntax, where `\s` is Unicode White_Space). */
export const PATTERN: string = `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

// JavaScript's \s has U+FEFF and lacks U+0085; White_Space is what the pattern means.
const SOURCE = PATTERN.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}");

/** Calls `visit` for every word of the text, in order. */
export function forEachWord(text: string, visit: (word: string) => void): void {
  for (let start = 0; start < text.length; ) {
    const end = safeCut(text, start + BLOCK);
    const block = start === 0 && end === text.length ? text : text.slice(start, end);
    const pattern = new RegExp(SOURCE, "gu");
    for (let match = pattern.exec(block); match !== null; match = pattern.exec(block)) visit(match[0]);
    start = end;
  }
}

/** A copy of a word, for keeping: the word itself is a view into its text and would keep all of that alive. */
export function ownCopy(word: string): string {
  return word.split("").join("");
}

// Text is matched in blocks, so that the garbage of one regular expression stays bounded.
const BLOCK = 1 << 20;

/**
 * First place at or after `from` where text may be cut without changing its words: after a line end and before a
 * character that is not white space. The text's length when there is none.
 */
export function safeCut(text: string, from: number): number {
  for (let at = text.indexOf("\n", Math.max(0, from - 1)); at !== -1; at = text.indexOf("\n", at + 1)) {
    const next = text[at + 1];
    if (next !== undefined && !/\p{White_Space}/u.test(next)) return at + 1;
  }
  return text.length;
}
