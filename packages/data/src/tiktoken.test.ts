// tiktoken's encodings against the Python library (fixtures/data/generate_tokenizers.py), and rank files of users.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import r50k from "js-tiktoken/ranks/r50k_base";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer } from "./load-tokenizer.ts";
import { TiktokenTokenizer } from "./tiktoken-tokenizer.ts";

const fixtures = fileURLToPath(new URL("../../../fixtures/data/tokenizers/", import.meta.url));
interface Expected {
  readonly file_sha256: Record<string, string>;
  readonly encodings: Record<
    string,
    {
      readonly vocab_size: number;
      readonly cases: { text: string; ids: number[]; literal?: number[] }[];
      readonly decodings: { ids: number[]; text: string }[];
    }
  >;
}
const expected: Expected = JSON.parse(readFileSync(join(fixtures, "tiktoken.expected.json"), "utf8"));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "caramba-tiktoken-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe.each(Object.keys(expected.encodings))("%s", (name) => {
  it("gives tiktoken's ids and texts", async () => {
    const tokenizer = await loadTokenizer(name.endsWith(".model") ? join(fixtures, name) : `tiktoken:${name}`);
    const { vocab_size, cases, decodings } = expected.encodings[name] as Expected["encodings"][string];
    expect(tokenizer.vocabSize).toBe(vocab_size);
    expect(cases.map(({ text }) => [text, ...tokenizer.encode(text)])).toEqual(
      cases.map(({ text, ids }) => [text, ...ids]),
    );
    for (const { text, ids, literal } of cases) {
      if (!name.endsWith(".model")) expect([...tokenizer.encode(text, { special: false })]).toEqual(literal ?? ids);
      expect(tokenizer.decode(ids)).toBe(text);
      const decoder = tokenizer.decoder();
      expect(ids.map((id) => decoder.push(id)).join("") + decoder.end()).toBe(text);
    }
    expect(decodings.map(({ ids }) => tokenizer.decode(ids))).toEqual(decodings.map(({ text }) => text));
  });
});

// p50k_base and p50k_edit differ from r50k_base by a few tokens, which are not worth their seconds.
const different = Object.keys(expected.encodings).filter((name) => !name.startsWith("p50k"));
describe.each(different)("%s as a tokenizer.json", (name) => {
  it("gives tiktoken's ids", async () => {
    const tokenizer = await loadTokenizer(name.endsWith(".model") ? join(fixtures, name) : `tiktoken:${name}`);
    if (!(tokenizer instanceof TiktokenTokenizer)) throw new Error(`${name} is none of tiktoken's`);
    const place = join(folder, `${name}.json`);
    writeFileSync(place, tokenizer.toJson() ?? "");
    const read = await loadTokenizer(place);
    expect(read.vocabSize).toBe(tokenizer.vocabSize);
    expect([...read.special].sort()).toEqual([...tokenizer.special].sort());
    const { cases } = expected.encodings[name] as Expected["encodings"][string];
    for (const { text, ids } of cases) {
      expect([text, ...read.encode(text)]).toEqual([text, ...ids]);
      expect(read.decode(ids)).toBe(text);
      expect([...read.encode(text, { addSpecial: true })]).toEqual([...tokenizer.encode(text, { addSpecial: true })]);
    }
  });
});

/** The published file r50k_base.tiktoken, written from the package's packed form. */
function r50kFile(): string {
  return r50k.bpe_ranks
    .split("\n")
    .flatMap((line) => {
      const [, first, ...list] = line.split(" ");
      return list.map((token, i) => `${token} ${Number(first) + i}\n`);
    })
    .join("");
}

it("gpt2 is r50k_base; tiktoken alone is cl100k_base", async () => {
  const text = "Hello  world\n 123 <|endoftext|>";
  const [gpt2, same] = [await loadTokenizer("gpt2"), await loadTokenizer("tiktoken:r50k_base")];
  expect(gpt2.hash).toBe(same.hash);
  expect(gpt2.encode(text)).toEqual(same.encode(text));
  const [plain, named] = [await loadTokenizer("tiktoken"), await loadTokenizer("tiktoken:cl100k_base")];
  expect([plain.hash, plain.eosId]).toEqual([named.hash, 100257]);
});

it("a rank file is known by its content or its name, and is the same tokenizer", async () => {
  const text = r50kFile();
  expect(createHash("sha256").update(text).digest("hex")).toBe(expected.file_sha256["r50k_base"]);
  const path = join(folder, "anything.txt");
  writeFileSync(path, text);
  const { hash } = await loadTokenizer("tiktoken:r50k_base");
  expect((await loadTokenizer(`tiktoken:${path}`)).hash).toBe(hash);
  expect((await loadTokenizer(path)).hash).toBe(hash);
});

it("Llama 3's file adds its template and its special tokens; a folder with that file is enough", async () => {
  const text = readFileSync(join(fixtures, "llama3.model"), "utf8");
  writeFileSync(join(folder, "tokenizer.model"), text);
  const tokenizer = await loadTokenizer(folder);
  const ranks = text.trim().split("\n").length;
  expect(tokenizer.vocabSize).toBe(ranks + 256);
  expect([...tokenizer.encode("<|eot_id|>", { addSpecial: true })]).toEqual([ranks, ranks + 9]);
  expect(tokenizer.eosId).toBe(ranks + 1);
  expect(tokenizer.special.get("<|reserved_special_token_247|>")).toBe(ranks + 255);
});

it("refuses damaged and nameless rank files", async () => {
  const good = readFileSync(join(fixtures, "llama3.model"), "utf8");
  const put = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  await expect(loadTokenizer(put("x.tiktoken", good))).rejects.toThrow(/nothing says which encoding/);
  await expect(loadTokenizer(put("a.model", `${good}IQ== 9999\n`))).rejects.toThrow(/gives a rank or a token twice/);
  await expect(loadTokenizer(put("a.model", `${good}IQ== 99999999999\n`))).rejects.toThrow(/is not base64, a space/);
  await expect(loadTokenizer(put("a.model", good.split("\n").slice(5).join("\n")))).rejects.toThrow(/byte 33 has no/);
  await expect(loadTokenizer(put("a.model", "\n\u0007\u0012\ufffd"))).rejects.toThrow(/SentencePiece/);
});
