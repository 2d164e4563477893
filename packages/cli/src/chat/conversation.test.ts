// Conversations against the same conversation generated from its whole text, without a cache, at every turn.
import { fileURLToPath } from "node:url";
import { ByteTokenizer, type ChatMessage, ChatTemplate, loadTokenizer, type Tokenizer } from "@caramba/data";
import { Generator, generate } from "@caramba/infer";
import { ReferenceBackend } from "@caramba/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { tinyModel } from "../../test-support/tiny-model.ts";
import { Conversation, transcript } from "./conversation.ts";
import { TextStop } from "./text-stop.ts";

const backend = new ReferenceBackend();
const never = new AbortController().signal;
const now = new Date(0);
const config = { temperature: 0, cacheKind: "fp32", maxNewTokens: 12 } as const;

const plainTemplate =
  "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>{{ m.content }}<|eot_id|>{% endfor %}" +
  "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{% endif %}";
/** Leaves the answers out, so that what the cache holds has to be taken back. */
const forgetful = plainTemplate.replace("{{ m.content }}", "{{ m.content if m.role != 'assistant' else '-' }}");

let llama3: Tokenizer;
beforeAll(async () => {
  const url = new URL("../../../../fixtures/data/tokenizers/llama3.json", import.meta.url);
  llama3 = await loadTokenizer(fileURLToPath(url));
});

const chatTemplate = (source: string) =>
  new ChatTemplate(new Map([["default", source]]), { bos_token: "<|begin_of_text|>" });

async function open(tokenizer: Tokenizer, template: ChatTemplate | null, context = 500, stopIds: number[] = []) {
  const model = tinyModel(tokenizer.vocabSize);
  const generator = await Generator.open(model, { backend, config: { ...config, maxSeqLen: context + 12 } });
  const system = "Be kind.";
  const options = { generator, tokenizer, template, system, stopIds: new Set(stopIds), context, now };
  return { model, generator, conversation: new Conversation(options) };
}

describe("Conversation", () => {
  it.each([
    ["a template", plainTemplate],
    ["a template that rewrites the past", forgetful],
  ])("with %s answers as if all was read anew, and feeds only what is new", async (_, source) => {
    const template = chatTemplate(source);
    const { model, conversation } = await open(llama3, template);
    const messages: ChatMessage[] = [{ role: "system", content: "Be kind." }];
    for (const text of ["Hello", "And now?", "The light turned."]) {
      messages.push({ role: "user", content: text });
      const ids = llama3.encode(await template.apply(messages, { addGenerationPrompt: true }));
      const [whole] = await generate(model, [ids], { backend, config });
      const pieces: string[] = [];
      const turn = await conversation.answer(text, (piece) => pieces.push(piece), never);
      expect(turn.text).toBe(llama3.decode(whole ?? [], { skipSpecial: true }));
      expect(pieces.join("")).toBe(turn.text);
      expect([turn.tokens, turn.ended]).toEqual([12, "length"]);
      if (messages.length > 2) expect(turn.fed).toBeLessThan(ids.length / 2 + 12);
      else expect(turn.fed).toBe(ids.length);
      messages.push({ role: "assistant", content: turn.text });
    }
    conversation.reset();
    // The beginning of the text is still in the cache.
    const turn = await conversation.answer("Hello", () => {}, never);
    expect(turn.text).toBe(messages[2]?.content);
    expect(turn.fed).toBeLessThan(8);
  });

  it("stops at a stop id, and goes on after it", async () => {
    const template = chatTemplate(plainTemplate);
    const { model, conversation } = await open(llama3, template);
    const free = await conversation.answer("Hello", () => {}, never);
    const ids = await template.apply(
      [
        { role: "system", content: "Be kind." },
        { role: "user", content: "Hello" },
      ],
      { addGenerationPrompt: true },
    );
    const [whole = []] = await generate(model, [llama3.encode(ids)], { backend, config });
    const stop = whole[5] as number;
    const { conversation: stopped } = await open(llama3, template, 500, [stop]);
    const turn = await stopped.answer("Hello", () => {}, never);
    const first = whole.indexOf(stop);
    expect([turn.tokens, turn.ended]).toEqual([first + 1, "stop"]);
    expect(turn.text).toBe(llama3.decode(whole.slice(0, first), { skipSpecial: true }));
    expect(free.text.startsWith(turn.text)).toBe(true);
  });

  it("an abort keeps what was said", async () => {
    const { conversation } = await open(new ByteTokenizer(), null);
    const controller = new AbortController();
    let count = 0;
    const turn = await conversation.answer("Hello", () => ++count === 1 && controller.abort(), controller.signal);
    expect(turn.ended).toBe("interrupted");
    expect(turn.tokens).toBeLessThan(12);
    const next = await conversation.answer("more", () => {}, never);
    const { conversation: other, model } = await open(new ByteTokenizer(), null);
    expect(other.length).toBe(0);
    const messages = [
      { role: "system", content: "Be kind." },
      { role: "user", content: "Hello" },
      { role: "assistant", content: turn.text },
      { role: "user", content: "more" },
    ];
    const ids = new ByteTokenizer().encode(transcript(messages));
    const [whole] = await generate(model, [ids], { backend, config });
    expect(next.text).toBe(new ByteTokenizer().decode(whole ?? [], { skipSpecial: true }).trim());
  });

  it("says when the context is full, before and within an answer, and stays usable", async () => {
    const { conversation } = await open(new ByteTokenizer(), null, 50);
    // "Be kind.\nUser: Hello\nAssistant:" has 32 bytes; 12 more fit, then the next message does not.
    expect((await conversation.answer("Hello", () => {}, never)).ended).toBe("length");
    await expect(conversation.answer("Hello again", () => {}, never)).rejects.toMatchObject({ code: "context-full" });
    conversation.reset();
    const turn = await conversation.answer("Hello, my friend", () => {}, never);
    expect([turn.ended, turn.tokens]).toEqual(["context", 50 - "Be kind.\nUser: Hello, my friend\nAssistant:".length]);
    conversation.reset();
    expect((await conversation.answer("Hello", () => {}, never)).ended).toBe("length");
  });

  it("names of special tokens in a plain transcript are text", async () => {
    const { conversation } = await open(new ByteTokenizer(), null);
    const turn = await conversation.answer("<|endoftext|>", () => {}, never);
    expect(turn.fed).toBe("Be kind.\nUser: <|endoftext|>\nAssistant:".length);
  });
});

it("TextStop holds back what may be a stop", () => {
  const feed = (stops: string[], pieces: string[]) => {
    const stop = new TextStop(stops);
    return { out: [...pieces.map((piece) => stop.push(piece)), stop.end()], found: stop.found };
  };
  expect(feed(["\nUser:"], ["a\n", "Us", "e", "\nUse", "r: x", "y"])).toEqual({
    out: ["a", "", "", "\nUse", "", "", ""],
    found: true,
  });
  expect(feed(["\nUser:"], ["a\nUs", "x", "\n"])).toEqual({ out: ["a", "\nUsx", "", "\n"], found: false });
  expect(feed(["abc", "bd"], ["ab", "d!"])).toEqual({ out: ["", "a", ""], found: true });
  expect(feed([], ["x"])).toEqual({ out: ["x", ""], found: false });
});
