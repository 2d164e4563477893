// Oracles: Hugging Face tokenizers in Python (fixtures/data/bpe.json) and in JavaScript, and a trainer that counts
// everything anew for every merge.
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tokenizer as HfLibrary } from "@huggingface/tokenizers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import { trainBpe } from "./bpe-train.ts";
import { ALPHABET, bytesToChars } from "./byte-alphabet.ts";
import { loadTokenizer } from "./load-tokenizer.ts";
import { forEachWord, safeCut } from "./pre-tokenize.ts";

const fixtures = new URL("../../../fixtures/data/", import.meta.url);
const corpus = readFileSync(new URL("corpus.txt", fixtures), "utf8");
const python = JSON.parse(readFileSync(new URL("bpe.json", fixtures), "utf8")) as {
  vocab_size: number;
  merges: [string, string][];
  samples: { text: string; ids: number[] }[];
};

let folder: string;
let tokenizer: BpeTokenizer;
let library: HfLibrary;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-bpe-"));
  tokenizer = await trainBpe([corpus], { vocabSize: 600 });
  library = new HfLibrary(JSON.parse(tokenizer.toJson()), { clean_up_tokenization_spaces: false });
});
afterAll(() => rm(folder, { recursive: true }));

const wordsOf = (text: string): string[] => {
  const words: string[] = [];
  forEachWord(text, (word) => words.push(word));
  return words;
};
/** Text of the kinds that pre-tokenisation tells apart, and any code points. */
const anyText = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.constantFrom(" ", "\n", "\r\n", "\t", "  ", "\u00a0", "\u0085", "\ufeff", "'s", "'LL", "’", "<|endoftext|>"),
      fc.constantFrom("the keeper", "Größe", "灯台の光", "🗼🌊", "123456", "٣", "½", "e\u0301", "__proto__", "!=="),
    ),
    { maxLength: 20 },
  )
  .map((parts) => parts.join(""));

describe("training", () => {
  it("finds the merges that the Python trainer finds", () => {
    expect(JSON.parse(tokenizer.toJson()).model.merges).toEqual(python.merges);
    expect(tokenizer.vocabSize).toBe(python.vocab_size);
  });

  it("equals counting every pair anew for every merge", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: fc.constantFrom(..."aabbc "), maxLength: 30 })), async (texts) => {
        if (texts.join("") === "") return;
        const trained = await trainBpe(texts, { vocabSize: 280 });
        expect(JSON.parse(trained.toJson()).model.merges).toEqual(slowMerges(texts, 280));
      }),
      { numRuns: 200 },
    );
  });

  it("does not depend on how the corpus is split into documents or on their order", async () => {
    const lines = corpus.split(/(?<=\n)(?=\S)/).reverse();
    expect((await trainBpe(lines, { vocabSize: 600 })).hash).toBe(tokenizer.hash);
    expect((await trainBpe([`${corpus} keeper`.repeat(2)], { vocabSize: 600 })).hash).not.toBe(tokenizer.hash);
  });

  it("refuses sizes and special tokens that cannot work", async () => {
    await expect(trainBpe([corpus], { vocabSize: 256 })).rejects.toThrow(/vocabSize 256 is out of range: 257/);
    await expect(trainBpe([], { vocabSize: 300 })).rejects.toThrow(/no text/);
    await expect(trainBpe(["x"], { vocabSize: 300, specialTokens: ["keeper"] })).rejects.toThrow(/"keeper"/);
  });

  it("stops when told to", async () => {
    await expect(trainBpe([corpus], { vocabSize: 600, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });
});

describe("encoding", () => {
  it("gives the ids of the Python library", () => {
    for (const { text, ids } of python.samples) expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(ids);
  });

  it("gives the ids and texts of the JavaScript library on any text", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const ids = [...tokenizer.encode(text)];
        expect(ids).toEqual(library.encode(text).ids);
        expect(tokenizer.decode(ids)).toBe(text);
        if (ids.length > 0) expect(tokenizer.decode(ids)).toBe(library.decode(ids));
      }),
      { numRuns: 500 },
    );
  });

  it("decodes any ids as the JavaScript library does, incomplete characters included", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 504 }), { minLength: 1 }), (ids) => {
        expect(tokenizer.decode(ids)).toBe(library.decode(ids));
      }),
    );
  });

  it("takes a special token's name as text when told so", () => {
    const text = "a<|endoftext|>b";
    expect([...tokenizer.encode(text)]).toContain(tokenizer.eosId);
    const plain = tokenizer.encode(text, { special: false });
    expect([...plain]).not.toContain(tokenizer.eosId);
    expect(tokenizer.decode(plain)).toBe(text);
    expect(tokenizer.decode(tokenizer.encode(text), { skipSpecial: true })).toBe("ab");
  });

  it("takes long words and long texts", () => {
    const long = `${"ab".repeat(100_000)}${" ".repeat(300_000)}x${"灯".repeat(100_000)}`;
    expect(tokenizer.decode(tokenizer.encode(long))).toBe(long);
    const many = corpus.repeat(1200);
    const one = tokenizer.encode(corpus);
    expect(many.length).toBeGreaterThan(2 << 20);
    expect(tokenizer.encode(many).length).toBe(one.length * 1200);
  });

  it("turns a lone surrogate into U+FFFD", () => {
    expect(tokenizer.decode(tokenizer.encode("a\ud83db"))).toBe("a\ufffdb");
  });

  it("names an id that it does not have", () => {
    expect(() => tokenizer.decode([0, 505])).toThrow(
      /505 is not in the vocabulary of tokenizer bpe-505 \(ids 0 to 504/,
    );
  });
});

describe("streaming decoder", () => {
  it("gives the same text in pieces, and never half a character", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const decoder = tokenizer.decoder();
        const pieces = [...tokenizer.encode(text)].map((id) => decoder.push(id));
        for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}|\ufffd/u);
        expect(pieces.join("") + decoder.end()).toBe(text);
      }),
    );
  });

  it("holds an incomplete character back until it is complete", () => {
    const bytes = [...new TextEncoder().encode("🗼")].map((byte) => 1 + ALPHABET.indexOf(byte));
    const decoder = tokenizer.decoder();
    expect(bytes.map((id) => decoder.push(id))).toEqual(["", "", "", "🗼"]);
    decoder.push(bytes[0] as number);
    expect(decoder.end()).toBe("\ufffd");
  });
});

describe("tokenizer.json", () => {
  it("loads back as the same tokenizer", async () => {
    const path = join(folder, "tokenizer.json");
    await tokenizer.save(path);
    const loaded = await loadTokenizer(path);
    expect(loaded).toBeInstanceOf(BpeTokenizer);
    expect([loaded.hash, loaded.eosId, loaded.name]).toEqual([tokenizer.hash, 0, "bpe-505"]);
    expect(loaded.encode(corpus)).toEqual(tokenizer.encode(corpus));
  });

  it("keeps tokens that JavaScript objects treat specially", async () => {
    const trained = await trainBpe(["__proto__ 111 __proto__ 111 111 ".repeat(9)], { vocabSize: 300 });
    const json = trained.toJson();
    expect(json).toContain('"__":');
    const vocab = JSON.parse(json).model.vocab;
    expect(Object.keys(vocab).length).toBe(trained.vocabSize);
    const rebuilt = new HfLibrary(JSON.parse(json), {});
    expect(rebuilt.encode("111 __proto__").ids).toEqual([...trained.encode("111 __proto__")]);
  });
});

describe("pre-tokenisation", () => {
  it("loses nothing and makes nothing up", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(wordsOf(text).join("")).toBe(text);
      }),
    );
  });

  it("is the same when text is cut where safeCut says", () => {
    fc.assert(
      fc.property(anyText, anyText, fc.nat(80), (a, b, from) => {
        const text = `${a}\n${b}`;
        const cut = safeCut(text, from);
        expect([...wordsOf(text.slice(0, cut)), ...wordsOf(text.slice(cut))]).toEqual(wordsOf(text));
      }),
      { numRuns: 500 },
    );
    // Negative control: cutting anywhere does change words.
    expect([...wordsOf("ke"), ...wordsOf("eper")]).not.toEqual(wordsOf("keeper"));
  });
});

/** The definition of BPE training, without any cleverness. */
function slowMerges(texts: readonly string[], vocabSize: number): [string, string][] {
  const words = texts.flatMap(wordsOf).map((word) => [...new TextEncoder().encode(word)].map((byte) => chr(byte)));
  const ids = new Map(["<|endoftext|>", ...ALPHABET.map(chr)].map((token, id) => [token, id]));
  const merges: [string, string][] = [];
  const order = (key: string): [number, number] => {
    const [a, b] = key.split("\0") as [string, string];
    return [ids.get(a) as number, ids.get(b) as number];
  };
  while (ids.size < vocabSize) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const key = `${word[i]}\0${word[i + 1]}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    const best = [...counts].sort(([a, m], [b, n]) => {
      const [x, y] = [order(a), order(b)];
      return n - m || x[0] - y[0] || x[1] - y[1];
    })[0];
    if (best === undefined || best[1] < 2) break;
    const [left, right] = best[0].split("\0") as [string, string];
    if (!merges.some(([a, b]) => a === left && b === right)) merges.push([left, right]);
    if (!ids.has(left + right)) ids.set(left + right, ids.size);
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) word.splice(i, 2, left + right);
      }
    }
  }
  return merges;
}

function chr(byte: number): string {
  return bytesToChars(Uint8Array.of(byte));
}
