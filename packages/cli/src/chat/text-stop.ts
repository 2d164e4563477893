// Ends a stream of text where one of several strings begins. What might be the beginning of one is held back.

/** Passes text on up to the first stop. */
export class TextStop {
  readonly #stops: readonly string[];
  #held = "";
  #found = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Whether a stop has come; nothing is passed on after it. */
  get found(): boolean {
    return this.#found;
  }

  push(text: string): string {
    if (this.#found) return "";
    const all = this.#held + text;
    const at = this.#stops.map((stop) => all.indexOf(stop)).filter((index) => index !== -1);
    if (at.length > 0) {
      this.#found = true;
      this.#held = "";
      return all.slice(0, Math.min(...at));
    }
    let safe = all.length;
    for (const stop of this.#stops)
      for (let length = Math.min(stop.length - 1, all.length); length > 0; length--)
        if (all.endsWith(stop.slice(0, length))) {
          safe = Math.min(safe, all.length - length);
          break;
        }
    this.#held = all.slice(safe);
    return all.slice(0, safe);
  }

  /** What was held back and is no stop after all. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}
