// Next-token logits after any context, for cases whose contexts share beginnings: what is common with the last one stays
// in the cache.
import { Decoder } from "@caramba/infer";
import type { Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";

/** How ContextLogits is opened. */
export interface ContextLogitsOptions {
  readonly backend: Backend;
  /** Longest context that will be asked for, tokens. */
  readonly maxLength: number;
  /** Only the last this many tokens count; null: all. */
  readonly contextWindow?: number | null;
}

/** Logits of one model after contexts. */
export class ContextLogits {
  readonly #decoder: Decoder;
  readonly #window: number;
  #fed: readonly number[] = [];

  private constructor(decoder: Decoder, window: number) {
    this.#decoder = decoder;
    this.#window = window;
  }

  static async open(model: Model, options: ContextLogitsOptions): Promise<ContextLogits> {
    const window = options.contextWindow ?? options.maxLength;
    const maxSeqLen = Math.min(window, options.maxLength);
    // fp32, so that a score does not depend on what happened to be cached.
    const decoder = await Decoder.open(model, { backend: options.backend, maxSeqLen, storage: "fp32" });
    return new ContextLogits(decoder, window);
  }

  /** Logits [V] of the token after `context` (at least one token). */
  async after(context: readonly number[]): Promise<Float32Array> {
    const wanted = context.slice(-this.#window);
    let common = 0;
    while (common < this.#fed.length && common < wanted.length - 1 && this.#fed[common] === wanted[common]) common++;
    this.#decoder.rollback(this.#fed.length - common);
    this.#fed = wanted.slice(0, common);
    const logits = await this.#decoder.feed(Int32Array.from(wanted.slice(common)));
    this.#fed = wanted;
    return logits;
  }

  dispose(): void {
    this.#decoder.dispose();
  }
}
