// Lines of a person or of a pipe, and what Ctrl-C and Ctrl-D mean: the first Ctrl-C stops the answer at work, another one
// leaves, and so does Ctrl-D; a pipe's end leaves after its last line was answered. On a terminal the line editor of Node
// reads keys, so that Ctrl-C comes as an event of its own; elsewhere it is the signal.
import { createInterface, type Interface } from "node:readline";

/** Where lines come from. */
export interface TurnsOptions {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
  readonly prompt: string;
  /** Says something that is no part of the conversation. */
  readonly note: (text: string) => void;
}

/** Reads line after line. */
export class Turns {
  readonly #reader: Interface;
  readonly #interactive: boolean;
  readonly #note: (text: string) => void;
  readonly #lines: string[] = [];
  #wake: (() => void) | null = null;
  #closed = false;
  #answer: AbortController | null = null;
  #armed = false;
  #left = false;
  readonly #onSignal = (): void => this.#interrupt();

  constructor({ input, output, prompt, note }: TurnsOptions) {
    this.#interactive = input.isTTY === true;
    this.#note = note;
    const terminal = this.#interactive;
    this.#reader = createInterface({ input, ...(terminal ? { output, prompt } : {}), terminal });
    this.#reader.on("line", (line) => {
      this.#armed = false;
      this.#lines.push(line);
      this.#wake?.();
    });
    this.#reader.on("close", () => {
      this.#closed = true;
      // A person who leaves does not wait for the rest; a pipe's lines are all answered.
      if (terminal) this.#answer?.abort();
      this.#wake?.();
    });
    this.#reader.on("SIGINT", this.#onSignal);
    process.on("SIGINT", this.#onSignal);
  }

  /** Whether Ctrl-C ended it all. */
  get interrupted(): boolean {
    return this.#left;
  }

  /** The next line; null when there is none any more. */
  async next(): Promise<string | null> {
    if (this.#left) return null;
    if (this.#lines.length === 0 && !this.#closed) {
      if (this.#interactive) this.#reader.prompt();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    if (this.#left || (this.#interactive && this.#closed)) return null;
    return this.#lines.shift() ?? null;
  }

  /** Runs `work` with a signal that Ctrl-C aborts. */
  async during<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#answer = new AbortController();
    if (this.#left) this.#answer.abort();
    try {
      return await work(this.#answer.signal);
    } finally {
      this.#answer = null;
    }
  }

  close(): void {
    process.off("SIGINT", this.#onSignal);
    this.#reader.close();
  }

  #interrupt(): void {
    if (this.#armed) {
      this.#left = true;
      this.#answer?.abort();
      this.#reader.close();
      this.#wake?.();
      return;
    }
    this.#armed = true;
    if (this.#answer) this.#answer.abort();
    else {
      // What was typed stays on its line; the prompt comes anew below.
      this.#note(this.#interactive ? "\n(Ctrl-C again leaves)" : "(Ctrl-C again leaves)");
      if (this.#interactive && !this.#closed) {
        this.#reader.write(null, { ctrl: true, name: "u" });
        this.#reader.prompt();
      }
    }
  }
}
