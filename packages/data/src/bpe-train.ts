// Training of a byte-level BPE vocabulary. Mental model: a table of distinct words with their counts; again and again
// the most frequent adjacent pair becomes one new symbol. Counts are kept per pair and changed only in the words that
// hold the merged pair; a heap with lazy correction finds the next pair (a pair's count can only fall once it exists).
// Ties go to the pair with the smaller ids, so the result depends on nothing but the counts: not on document order.
// Two pairs may spell the same token (a+bc, ab+c): both become merges to the one id.
// Source: Sennrich et al. 2016; id layout and ties as in Hugging Face `BpeTrainer` (special tokens, alphabet, merges).
import { CarambaError } from "@caramba/tensor";
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import { ALPHABET } from "./byte-alphabet.ts";
import { Heap } from "./heap.ts";
import { forEachWord, ownCopy } from "./pre-tokenize.ts";
import { endOfText } from "./tokenizer-json.ts";

export interface TrainBpeOptions {
  /** Target size, special tokens and the 256 bytes included. Fewer result when no pair occurs `minFrequency` times. */
  readonly vocabSize: number;
  /** Default `["<|endoftext|>"]`. One with a usual name (`<|endoftext|>`, `</s>`, ...) becomes the end-of-text token. */
  readonly specialTokens?: readonly string[];
  /** A pair must occur this often to be merged. Default 2. */
  readonly minFrequency?: number;
  readonly onProgress?: (progress: { readonly merges: number; readonly target: number }) => void;
  readonly signal?: AbortSignal;
}

const MAX_VOCAB = 1 << 20;

/**
 * Trains a tokenizer on texts (strings, or documents with a `text`).
 * Errors: CarambaError `vocab-size` when the size has no room for the bytes, `empty-corpus` when there is no text.
 */
export async function trainBpe(
  texts: Iterable<string | { readonly text: string }> | AsyncIterable<string | { readonly text: string }>,
  options: TrainBpeOptions,
): Promise<BpeTokenizer> {
  const specialTokens = options.specialTokens ?? ["<|endoftext|>"];
  const base = specialTokens.length + 256;
  if (!Number.isInteger(options.vocabSize) || options.vocabSize < base || options.vocabSize > MAX_VOCAB) {
    throw new CarambaError(
      `vocabSize ${options.vocabSize} is out of range: ${base} (256 bytes and ${specialTokens.length} special tokens) to ${MAX_VOCAB}`,
      { code: "vocab-size", remedy: "a small corpus does well with 1024 to 4096" },
    );
  }
  checkSpecialTokens(specialTokens);
  const counts = new Map<string, number>();
  for await (const item of texts) {
    options.signal?.throwIfAborted();
    forEachWord(typeof item === "string" ? item : item.text, (word) => {
      const count = counts.get(word);
      if (count === undefined) counts.set(ownCopy(word), 1);
      else counts.set(word, count + 1);
    });
  }
  if (counts.size === 0) {
    throw new CarambaError("cannot train a tokenizer: the corpus holds no text", {
      code: "empty-corpus",
      remedy: "name files or folders that hold text",
    });
  }
  const tokens: Uint8Array[] = [
    ...specialTokens.map((token) => new TextEncoder().encode(token)),
    ...ALPHABET.map((byte) => Uint8Array.of(byte)),
  ];
  const merges = await findMerges(counts, tokens, specialTokens.length, options);
  const special = new Map(specialTokens.map((token, id) => [token, id]));
  return new BpeTokenizer({ tokens, merges, special, eos: endOfText(specialTokens) });
}

function checkSpecialTokens(names: readonly string[]): void {
  for (const name of names) {
    let words = 0;
    forEachWord(name, () => words++);
    if (words < 2 || names.indexOf(name) !== names.lastIndexOf(name)) {
      throw new CarambaError(`special token ${JSON.stringify(name)} is listed twice or could be an ordinary word`, {
        code: "special-token",
        remedy: "give each special token a name of its own with symbols around it, such as <|endoftext|>",
      });
    }
  }
}

interface Candidate {
  readonly count: number;
  readonly key: number;
}

/** Appends the new tokens to `tokens`; returns the merges by rank. */
async function findMerges(
  counts: ReadonlyMap<string, number>,
  tokens: Uint8Array[],
  firstByteId: number,
  options: TrainBpeOptions,
): Promise<[number, number, number][]> {
  const { vocabSize } = options;
  const minFrequency = Math.max(1, options.minFrequency ?? 2);
  const idOfByte = new Int32Array(256);
  ALPHABET.forEach((byte, index) => {
    idOfByte[byte] = firstByteId + index;
  });
  const utf8 = new TextEncoder();
  const words: Int32Array[] = [];
  const frequency: number[] = [];
  for (const [word, count] of counts) {
    words.push(Int32Array.from(utf8.encode(word), (byte) => idOfByte[byte] as number));
    frequency.push(count);
  }

  // key = left * vocabSize + right orders pairs by (left, right) and stays a small integer for common sizes.
  const pairCount = new Map<number, number>();
  const pairWords = new Map<number, number[]>();
  const note = (key: number, word: number): void => {
    const list = pairWords.get(key);
    if (list === undefined) pairWords.set(key, [word]);
    else if (list[list.length - 1] !== word) list.push(word);
  };
  const change = (word: number, sign: number): void => {
    const symbols = words[word] as Int32Array;
    const by = sign * (frequency[word] as number);
    for (let i = 0; i + 1 < symbols.length; i++) {
      const key = (symbols[i] as number) * vocabSize + (symbols[i + 1] as number);
      pairCount.set(key, (pairCount.get(key) ?? 0) + by);
    }
  };
  for (let word = 0; word < words.length; word++) {
    change(word, 1);
    const symbols = words[word] as Int32Array;
    for (let i = 0; i + 1 < symbols.length; i++) {
      note((symbols[i] as number) * vocabSize + (symbols[i + 1] as number), word);
    }
  }
  const heap = new Heap<Candidate>((a, b) => a.count > b.count || (a.count === b.count && a.key < b.key));
  for (const [key, count] of pairCount) heap.push({ count, key });

  const idOfSpelling = new Map<string, number>();
  for (let id = firstByteId; id < tokens.length; id++) idOfSpelling.set(spelling(tokens[id] as Uint8Array), id);
  const target = vocabSize - tokens.length;
  const merges: [number, number, number][] = [];
  const merged = new Set<number>();
  let paused = performance.now();
  while (tokens.length < vocabSize) {
    const top = heap.pop();
    if (top === undefined) break;
    const count = pairCount.get(top.key) ?? 0;
    if (count !== top.count) {
      if (count > 0) heap.push({ count, key: top.key });
      continue;
    }
    if (count < minFrequency) break;
    const left = Math.floor(top.key / vocabSize);
    const right = top.key % vocabSize;
    const bytes = Uint8Array.of(...(tokens[left] as Uint8Array), ...(tokens[right] as Uint8Array));
    const known = idOfSpelling.get(spelling(bytes));
    const id = known ?? tokens.length;
    if (known === undefined) {
      idOfSpelling.set(spelling(bytes), id);
      tokens.push(bytes);
    }
    // A pair can come back after its merge, when a second merge spells one of its sides; its rank stands.
    if (!merged.has(top.key)) merges.push([left, right, id]);
    merged.add(top.key);
    const fresh = new Set<number>();
    for (const word of pairWords.get(top.key) ?? []) {
      const symbols = words[word] as Int32Array;
      if (!holds(symbols, left, right)) continue;
      change(word, -1);
      const shorter = mergePair(symbols, left, right, id);
      words[word] = shorter;
      change(word, 1);
      for (let i = 0; i + 1 < shorter.length; i++) {
        if (shorter[i] !== id && shorter[i + 1] !== id) continue;
        const key = (shorter[i] as number) * vocabSize + (shorter[i + 1] as number);
        note(key, word);
        fresh.add(key);
      }
    }
    pairWords.delete(top.key);
    pairCount.delete(top.key);
    for (const key of fresh) heap.push({ count: pairCount.get(key) ?? 0, key });
    if (performance.now() - paused > 50) {
      // Lets timers and signals in.
      await new Promise((resolve) => setImmediate(resolve));
      paused = performance.now();
      options.signal?.throwIfAborted();
      options.onProgress?.({ merges: merges.length, target });
    }
  }
  options.onProgress?.({ merges: merges.length, target });
  return merges;
}

/** A token's bytes as a string, one character per byte: a key for maps. */
function spelling(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function holds(symbols: Int32Array, left: number, right: number): boolean {
  for (let i = 0; i + 1 < symbols.length; i++) if (symbols[i] === left && symbols[i + 1] === right) return true;
  return false;
}

function mergePair(symbols: Int32Array, left: number, right: number, id: number): Int32Array {
  let length = 0;
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      symbols[length++] = id;
      i++;
    } else symbols[length++] = symbols[i] as number;
  }
  return symbols.slice(0, length);
}
