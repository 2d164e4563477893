// Added tokens of tokenizer.json: names that stand for one id wherever they occur in a text. They are cut out before the
// rest is normalized, those with `normalized` after it. Flags: `single_word` only between non-word characters; `lstrip`
// and `rstrip` take the white space beside them along; `special` ones can be read as plain text instead.

import type { Normalizer } from "./normalizer.ts";
import { flag, type Json, malformed, parts, text } from "./parts.ts";

/** One added token. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
}

/** A piece of text, or the id of an added token; `at` is where it begins. */
export type Piece = { readonly text: string; readonly at: number } | { readonly id: number; readonly at: number };

/** Reads the list `added_tokens`; an absent one is empty. */
export function readAddedTokens(json: Json): readonly AddedToken[] {
  if (json["added_tokens"] === undefined || json["added_tokens"] === null) return [];
  return parts(json, "added_tokens").map((token) => {
    const id = token["id"];
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= 1 << 24)
      throw malformed(`added token ${JSON.stringify(token["content"])}: id must be a whole number below 2^24`);
    const special = flag(token, "special");
    return {
      id,
      content: text(token, "content"),
      special,
      singleWord: flag(token, "single_word"),
      lstrip: flag(token, "lstrip"),
      rstrip: flag(token, "rstrip"),
      normalized: flag(token, "normalized", !special),
    };
  });
}

/** Cuts added tokens out of texts. */
export class AddedTokenSplitter {
  /** Names by their first UTF-16 unit, longest first: the leftmost, longest name wins. */
  readonly #byStart = new Map<string, { readonly name: string; readonly token: AddedToken }[]>();

  /** @param tokens what to look for; @param normalize how the names themselves are changed first. */
  constructor(tokens: readonly AddedToken[], normalize: Normalizer = (name) => name) {
    for (const token of tokens) {
      const name = normalize(token.content);
      const [start] = name;
      if (start === undefined) continue;
      const list = this.#byStart.get(name.charAt(0)) ?? [];
      list.push({ name, token });
      this.#byStart.set(name.charAt(0), list);
    }
    for (const list of this.#byStart.values()) list.sort((a, b) => b.name.length - a.name.length);
  }

  /** Pieces in order, none empty. `plainSpecial`: special tokens' names stay text. */
  split(input: string, plainSpecial: boolean): readonly Piece[] {
    if (this.#byStart.size === 0) return input === "" ? [] : [{ text: input, at: 0 }];
    const out: Piece[] = [];
    let done = 0;
    for (let at = 0; at < input.length; ) {
      const found = this.#byStart.get(input.charAt(at))?.find(({ name }) => input.startsWith(name, at));
      if (found === undefined) {
        at++;
        continue;
      }
      const { token, name } = found;
      const end = at + name.length;
      const taken = !(plainSpecial && token.special) && (!token.singleWord || standsAlone(input, at, end));
      if (taken) {
        const start = token.lstrip ? Math.max(done, spaceBefore(input, at)) : at;
        const stop = token.rstrip ? spaceAfter(input, end) : end;
        if (start > done) out.push({ text: input.slice(done, start), at: done });
        out.push({ id: token.id, at: start });
        done = stop;
      }
      at = Math.max(end, done);
    }
    if (done < input.length) out.push({ text: input.slice(done), at: done });
    return out;
  }
}

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]/u;
const SPACE = /\p{White_Space}/u;

function standsAlone(input: string, start: number, end: number): boolean {
  const before = input.slice(Math.max(0, start - 2), start);
  const last = [...before].at(-1) ?? "";
  const next = input.codePointAt(end);
  return !WORD.test(last) && !(next !== undefined && WORD.test(String.fromCodePoint(next)));
}

function spaceBefore(input: string, start: number): number {
  let at = start;
  while (at > 0 && SPACE.test(input.charAt(at - 1))) at--;
  return at;
}

function spaceAfter(input: string, end: number): number {
  let at = end;
  while (at < input.length && SPACE.test(input.charAt(at))) at++;
  return at;
}
