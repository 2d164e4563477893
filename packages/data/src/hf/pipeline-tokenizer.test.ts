// tokenizer.json files of every shape against the Rust library's ids and texts (fixtures/data/generate_tokenizers.py).
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadTokenizer } from "../load-tokenizer.ts";
import { PipelineTokenizer } from "./pipeline-tokenizer.ts";

const folder = fileURLToPath(new URL("../../../../fixtures/data/tokenizers/", import.meta.url));
interface Expected {
  readonly vocab_size: number;
  readonly cases: { text: string; ids: number[]; with_template?: number[]; literal?: number[]; decoded?: string }[];
  readonly decodings: { ids: number[]; text: string; clean?: string }[];
}
const shapes = "llama2 mistral gemma metaspace llama3 qwen2 tekken smollm gpt2 deepseek flags merged_splits".split(" ");

describe.each(shapes)("%s", (shape) => {
  const expected: Expected = JSON.parse(readFileSync(`${folder}${shape}.expected.json`, "utf8"));
  const open = async () => await loadTokenizer(`${folder}${shape}.json`);

  it("encodes as the Rust library", async () => {
    const tokenizer = await open();
    expect(tokenizer).toBeInstanceOf(PipelineTokenizer);
    expect(tokenizer.vocabSize).toBe(expected.vocab_size);
    const encoded = expected.cases.map(({ text }) => ({
      text,
      ids: [...tokenizer.encode(text)],
      whole: [...tokenizer.encode(text, { addSpecial: true })],
      literal: [...tokenizer.encode(text, { special: false })],
    }));
    expect(encoded).toEqual(
      expected.cases.map(({ text, ids, with_template, literal }) => ({
        text,
        ids,
        whole: with_template ?? ids,
        literal: literal ?? ids,
      })),
    );
  });

  it("decodes as the Rust library, whole and piece by piece", async () => {
    const tokenizer = await open();
    for (const { text, ids, decoded = text } of expected.cases) {
      expect(tokenizer.decode(ids)).toBe(decoded);
      const decoder = tokenizer.decoder();
      expect(ids.map((id) => decoder.push(id)).join("") + decoder.end()).toBe(decoded);
    }
    expect(expected.decodings.map(({ ids }) => tokenizer.decode(ids))).toEqual(expected.decodings.map((d) => d.text));
    expect(expected.decodings.map(({ ids }) => tokenizer.decode(ids, { skipSpecial: true }))).toEqual(
      expected.decodings.map((d) => d.clean ?? d.text),
    );
  });
});
