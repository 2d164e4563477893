// A conversation with a model: messages in, an answer out piece by piece. Each turn the whole conversation is written out
// anew, by the model's chat template or as a plain transcript, and encoded; of its ids only those after the part that the
// key-value cache already holds are fed. So the cache stays from turn to turn, and what the model reads is at any time
// exactly what the template makes of the messages, even where a template rewrites what was said before.
import type { ChatMessage, ChatTemplate, Tokenizer } from "@caramba/data";
import type { Generator } from "@caramba/infer";
import { CarambaError } from "@caramba/tensor";
import { TextStop } from "./text-stop.ts";

/** What a conversation needs. */
export interface ConversationOptions {
  readonly generator: Generator;
  readonly tokenizer: Tokenizer;
  /** Null: a plain transcript of `User:` and `Assistant:` lines. */
  readonly template: ChatTemplate | null;
  readonly system: string | null;
  /** Ids that end an answer. */
  readonly stopIds: ReadonlySet<number>;
  /** Most positions; the generator must hold that many and those of one answer more. */
  readonly context: number;
  /** The date that a template may show, one for the whole conversation. */
  readonly now: Date;
}

/** How an answer came about. */
export interface Turn {
  readonly text: string;
  readonly tokens: number;
  /** Tokens fed before the first new one, and the seconds that took. */
  readonly fed: number;
  readonly prefillSeconds: number;
  /** Seconds from the first new token to the last. */
  readonly seconds: number;
  readonly ended: "stop" | "length" | "context" | "interrupted";
}

const clock = (): number => performance.now() / 1000;

/** A conversation; one turn at a time. */
export class Conversation {
  readonly #options: ConversationOptions;
  #messages: ChatMessage[] = [];
  /** Ids that the cache holds, in order. */
  #cached: number[] = [];

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.reset();
  }

  /** Positions in the cache. */
  get length(): number {
    return this.#cached.length;
  }

  /** Begins anew; the system's message stays. */
  reset(): void {
    const { system } = this.#options;
    this.#messages = system === null ? [] : [{ role: "system", content: system }];
  }

  /**
   * Answers one message. An abort ends the answer where it is, and what was said stays said. Where anything fails, the
   * message is not part of the conversation. Errors: CarambaError `context-full`; as the template and the generator.
   */
  async answer(text: string, onText: (piece: string) => void, signal: AbortSignal): Promise<Turn> {
    const messages: ChatMessage[] = [...this.#messages, { role: "user", content: text }];
    const ids = await this.#encode(messages);
    const { context } = this.#options;
    if (ids.length >= context)
      throw new CarambaError(`the conversation takes ${ids.length} tokens, and the context holds ${context}`, {
        code: "context-full",
        remedy: "begin anew with /reset, write less, or start with a larger --context",
      });
    const turn = await this.#generate(ids, onText, signal);
    this.#messages = [...messages, { role: "assistant", content: turn.text }];
    return turn;
  }

  async #encode(messages: readonly ChatMessage[]): Promise<Int32Array> {
    const { template, tokenizer, now } = this.#options;
    if (template) return tokenizer.encode(await template.apply(messages, { addGenerationPrompt: true, now }));
    // What is typed cannot end the text: names of special tokens stay text.
    return tokenizer.encode(transcript(messages), { special: false, addSpecial: true });
  }

  async #generate(ids: Int32Array, onText: (piece: string) => void, signal: AbortSignal): Promise<Turn> {
    const { generator, tokenizer, template, stopIds, context } = this.#options;
    const kept = this.#keep(ids);
    const decoder = tokenizer.decoder({ skipSpecial: true });
    const stop = new TextStop(template ? [] : ["\nUser:", "\nAssistant:"]);
    let text = "";
    const show = (piece: string): void => {
      text += piece;
      if (piece !== "") onText(piece);
    };
    const sampled: number[] = [];
    let ended: Turn["ended"] = "length";
    const start = clock();
    let first = start;
    try {
      for await (const [token] of generator.stream([ids.subarray(kept)])) {
        if (sampled.length === 0) first = clock();
        if (token === null || token === undefined) break;
        sampled.push(token);
        if (stopIds.has(token)) ended = "stop";
        else show(stop.push(decoder.push(token)));
        if (stop.found) ended = "stop";
        else if (ended !== "stop" && signal.aborted) ended = "interrupted";
        else if (ended !== "stop" && ids.length + sampled.length >= context) ended = "context";
        if (ended !== "length") break;
        // Let key presses and signals in: the engines work in this very thread.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      // What the decoder was fed of the new tokens; the last one never is.
      this.#cached = [...ids, ...sampled].slice(0, generator.decoder.length);
    }
    show(stop.push(decoder.end()) + stop.end());
    const counts = { tokens: sampled.length, fed: ids.length - kept, prefillSeconds: first - start };
    return { text: template ? text : text.trim(), ...counts, seconds: clock() - first, ended };
  }

  /** Rolls the cache back to what these ids have in common with it, less than all of them; returns its length. */
  #keep(ids: Int32Array): number {
    const { generator } = this.#options;
    let kept = 0;
    while (kept < Math.min(this.#cached.length, ids.length - 1) && this.#cached[kept] === ids[kept]) kept++;
    generator.rollback(this.#cached.length - kept);
    this.#cached.length = kept;
    return kept;
  }
}

/** A conversation as text, for models that were not taught to converse. */
export function transcript(messages: readonly ChatMessage[]): string {
  const names: Readonly<Record<string, string>> = { user: "User: ", assistant: "Assistant: " };
  const lines = messages.map(({ role, content }) => `${names[role] ?? ""}${String(content)}\n`);
  return `${lines.join("")}Assistant:`;
}
