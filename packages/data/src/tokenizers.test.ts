// Character, byte and foreign tokenizers, and finding them by name.
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BpeTokenizer } from "./bpe-tokenizer.ts";
import { trainBpe } from "./bpe-train.ts";
import { ByteTokenizer } from "./byte-tokenizer.ts";
import { CharTokenizer } from "./char-tokenizer.ts";
import { PipelineTokenizer } from "./hf/pipeline-tokenizer.ts";
import { HfTokenizer } from "./hf-tokenizer.ts";
import { loadTokenizer } from "./load-tokenizer.ts";

const corpus = readFileSync(new URL("../../../fixtures/data/corpus.txt", import.meta.url), "utf8");
let folder: string;
let ours: BpeTokenizer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-tokenizers-"));
  ours = await trainBpe([corpus], { vocabSize: 400 });
});
afterAll(() => rm(folder, { recursive: true }));

interface TokenizerJson {
  added_tokens: object[];
  pre_tokenizer: { pretokenizers: [{ pattern: { Regex: string } }] };
  model: { vocab: Record<string, number>; merges: string[][]; ignore_merges: boolean };
}
const putJson = (name: string, change: (json: TokenizerJson) => void): string => {
  const json = JSON.parse(ours.toJson());
  change(json);
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(json));
  return path;
};

describe("ByteTokenizer", () => {
  it("is UTF-8", () => {
    const tokenizer = new ByteTokenizer();
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect([...tokenizer.encode(text)]).toEqual([...Buffer.from(text)]);
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
    expect([...tokenizer.encode("a<|endoftext|>")]).toEqual([97, 256]);
    expect([...tokenizer.encode("<|", { special: false })]).toEqual([60, 124]);
    expect(tokenizer.decode([97, 256, 98])).toBe("a<|endoftext|>b");
    expect(tokenizer.decode([97, 256, 98], { skipSpecial: true })).toBe("ab");
    expect(() => tokenizer.decode([257])).toThrow(/257 is not in the vocabulary/);
  });
});

describe("CharTokenizer", () => {
  it("numbers the sorted characters and comes back from its file", async () => {
    const tokenizer = CharTokenizer.train(["banana", "🗼é"]);
    expect([...tokenizer.encode("ab🗼")]).toEqual([0, 1, 4]);
    const path = join(folder, "char.json");
    await tokenizer.save(path);
    const loaded = await loadTokenizer(path);
    expect(loaded.hash).toBe(tokenizer.hash);
    expect(loaded.decode(loaded.encode("nab🗼é"))).toBe("nab🗼é");
    expect(loaded.eosId).toBeUndefined();
    expect(() => tokenizer.encode("abc")).toThrow(/"c" \(U\+0063\), number 2/);
    expect(() => new CharTokenizer(["a", "a"])).toThrow(/all different/);
  });
});

describe("loadTokenizer", () => {
  it("reads other tokenizer.json files of BPE", async () => {
    // The pattern of Llama 3 differs from ours, so this file is foreign; on this text both cut alike.
    const path = putJson("foreign.json", (json) => {
      json.pre_tokenizer.pretokenizers[0].pattern.Regex = json["pre_tokenizer"].pretokenizers[0].pattern.Regex.replace(
        "'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
      );
    });
    const foreign = await loadTokenizer(path);
    expect(foreign).toBeInstanceOf(PipelineTokenizer);
    expect([foreign.vocabSize, foreign.eosId]).toEqual([400, 0]);
    expect(foreign.hash).not.toBe(ours.hash);
    expect(foreign.encode(corpus)).toEqual(ours.encode(corpus));
    expect(foreign.decode(ours.encode(corpus))).toBe(corpus);
    expect(foreign.decode([])).toBe("");
    const decoder = foreign.decoder();
    const pieces = [...ours.encode(corpus)].map((id) => decoder.push(id));
    expect(pieces.join("") + decoder.end()).toBe(corpus);
    expect(pieces.every((piece) => !piece.includes("\ufffd"))).toBe(true);
    expect(() => foreign.decode([400])).toThrow(/400 is not in the vocabulary/);
    expect(foreign.decode(foreign.encode("x<|endoftext|>", { special: false }), { skipSpecial: true })).toBe(
      "x<|endoftext|>",
    );
  });

  it.each(["wordpiece", "unigram"])("reads a %s model through the Hugging Face library", async (name) => {
    const at = new URL(`../../../fixtures/data/tokenizers/${name}`, import.meta.url);
    const tokenizer = await loadTokenizer(`${fileURLToPath(at)}.json`);
    expect(tokenizer).toBeInstanceOf(HfTokenizer);
    const expected: {
      vocab_size: number;
      cases: { text: string; ids: number[]; with_template?: number[]; decoded?: string }[];
    } = JSON.parse(readFileSync(`${fileURLToPath(at)}.expected.json`, "utf8"));
    expect(tokenizer.vocabSize).toBe(expected.vocab_size);
    for (const { text, ids, with_template = ids, decoded = text } of expected.cases) {
      expect([...tokenizer.encode(text)]).toEqual(ids);
      expect([...tokenizer.encode(text, { addSpecial: true })]).toEqual(with_template);
      expect(tokenizer.decode(ids)).toBe(decoded);
      const decoder = tokenizer.decoder();
      expect(ids.map((id) => decoder.push(id)).join("") + decoder.end()).toBe(decoded);
    }
    const [special = ""] = tokenizer.special.keys();
    expect(() => tokenizer.encode(`a ${special}`, { special: false })).toThrow(/name of a special token/);
  });

  it("takes a folder, and its tokenizer_config.json for the end-of-text token", async () => {
    putJson("tokenizer.json", (json) => {
      json.model.ignore_merges = true;
      json.added_tokens.push({ ...json.added_tokens[0], id: 400, content: "<|done|>" });
    });
    writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ eos_token: { content: "<|done|>" } }));
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.eosId).toBe(400);
    expect(tokenizer.vocabSize).toBe(401);
  });

  it.each(["llama", "meta-llama/Llama-3.2-1B", "bpe", "tiktoken:llama3"])("says what %s needs", async (spec) => {
    await expect(loadTokenizer(spec)).rejects.toMatchObject({
      code: "unknown-tokenizer",
      remedy: expect.stringContaining("tokenizer.json"),
    });
  });

  it("a name of tiktoken alone is told apart from a file's", async () => {
    await expect(loadTokenizer("cl100k_base")).rejects.toMatchObject({ remedy: "write tiktoken:cl100k_base" });
    await expect(loadTokenizer("tiktoken:gpt5")).rejects.toThrow(/no encoding "gpt5" here; there are gpt2, r50k_base/);
    await expect(loadTokenizer("tiktoken:./none.tiktoken")).rejects.toThrow(/no such tokenizer file/);
  });

  it("says what is wrong with a file", async () => {
    await expect(loadTokenizer(join(folder, "absent.json"))).rejects.toMatchObject({ code: "missing-file" });
    const path = join(folder, "bad.json");
    writeFileSync(path, '{"model": ');
    await expect(loadTokenizer(path)).rejects.toThrow(/bad\.json is not a tokenizer: it is not JSON/);
    writeFileSync(path, "[]");
    await expect(loadTokenizer(path)).rejects.toThrow(/not a JSON object/);
    writeFileSync(path, "{}");
    await expect(loadTokenizer(path)).rejects.toThrow(/its model is none of BPE, WordPiece and Unigram/);
    const damaged: [(json: TokenizerJson) => void, RegExp][] = [
      [
        (json) => {
          json.model.vocab["zz"] = 5;
        },
        /id 5 is given to two tokens|must be 0 to/,
      ],
      [
        (json) => {
          json.model.vocab["zz"] = 1e9;
        },
        /has id 1000000000, but ids must be 0 to 400/,
      ],
      [
        (json) => {
          json.model.merges.push(["zz", "z"]);
        },
        /merge 143 .* names no tokens/,
      ],
      [
        (json) => {
          delete json.model.vocab["!"];
        },
        /ids must be|byte 33 has no token/,
      ],
    ];
    for (const [change, message] of damaged)
      await expect(loadTokenizer(putJson("bad.json", change))).rejects.toThrow(message);
  });
});
