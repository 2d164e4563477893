// A pull reader for JSON (RFC 8259) that comes from strangers. JSON.parse keeps the last of two equal keys without a
// word and builds whatever it is told to; here the caller says what it expects next, so that a wrong document is
// refused at its first wrong byte, equal keys are errors, and nothing is built that nobody asked for.

/** What a JsonReader throws; callers turn it into an error that names the file. */
export class JsonError extends Error {
  override readonly name: string = "JsonError";
}

/** Any JSON value. A key `__proto__` is a member like others. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** How deep a document may be nested, unless said. */
const usualDepth = 64;
const longestNumber = 400;
/**
 * Keys and values that one document may have, and keys of one object: keys are remembered and values built, each in many
 * times its own bytes.
 */
const mostParts = 5_000_000;
const mostKeys = 1_100_000;
const numberToken = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/;

/** Reads one JSON document from front to back. */
export class JsonReader {
  readonly #text: string;
  readonly #deepest: number;
  #at = 0;
  #depth = 0;
  #parts = 0;

  /** @param options.deepest default 64; some hundreds are safe, as each takes stack. */
  constructor(text: string, options: { readonly deepest?: number } = {}) {
    this.#text = text;
    this.#deepest = options.deepest ?? usualDepth;
  }

  /** Reads an object; `member` must consume the value of each key. Equal keys are refused. */
  object(member: (key: string) => void): void {
    this.#open("{", "an object");
    const seen = new Set<string>();
    if (!this.#accept("}")) {
      do {
        const key = this.string("a key");
        this.#countPart();
        if (seen.has(key)) this.fail(`the key ${JSON.stringify(key)} occurs twice`);
        seen.add(key);
        if (seen.size > mostKeys) this.fail(`an object has more than ${mostKeys} keys`);
        if (!this.#accept(":")) this.fail(`expected ":" after the key ${JSON.stringify(key)}`);
        member(key);
      } while (this.#accept(","));
      if (!this.#accept("}")) this.fail('expected "," or "}"');
    }
    this.#depth--;
  }

  /** Reads an array; `element` must consume each element. */
  array(element: (index: number) => void): void {
    this.#open("[", "an array");
    if (!this.#accept("]")) {
      let index = 0;
      do element(index++);
      while (this.#accept(","));
      if (!this.#accept("]")) this.fail('expected "," or "]"');
    }
    this.#depth--;
  }

  /** Reads a string; half of a surrogate pair is refused, since no UTF-8 file can name it. */
  string(what = "a string"): string {
    this.#space();
    const start = this.#at;
    if (this.#text[start] !== '"') this.fail(`expected ${what}`);
    let end = start + 1;
    for (; this.#text[end] !== '"'; end++) {
      if (end >= this.#text.length) this.fail(`${what} has no closing quote`);
      if (this.#text[end] === "\\") end++;
    }
    const value = parseString(this.#text.slice(start, end + 1));
    if (value === undefined) this.fail(`${what} is not valid`);
    this.#at = end + 1;
    return value;
  }

  /** Reads a number written as plain digits, at most 2^53 - 1. */
  naturalNumber(): number {
    const token = this.#number("a whole number");
    const value = Number(token);
    if (!/^[0-9]+$/.test(token) || !Number.isSafeInteger(value)) {
      this.fail(`expected a whole number from 0 to 2^53 - 1, found ${clip(token)}`);
    }
    return value;
  }

  /** Reads any value; a number that overflows to infinity is refused. */
  value(): Json {
    this.#space();
    this.#countPart();
    switch (this.#text[this.#at]) {
      case "{": {
        const result: { [key: string]: Json } = {};
        this.object((key) => {
          Object.defineProperty(result, key, {
            value: this.value(),
            enumerable: true,
            writable: true,
            configurable: true,
          });
        });
        return result;
      }
      case "[": {
        const result: Json[] = [];
        this.array(() => result.push(this.value()));
        return result;
      }
      case '"':
        return this.string();
    }
    for (const [word, value] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ] as const) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    const token = this.#number("a value");
    const value = Number(token);
    if (!Number.isFinite(value)) this.fail(`the number ${clip(token)} is too large`);
    return value;
  }

  /** Passes over any value without building it. */
  skip(): void {
    this.#space();
    const first = this.#text[this.#at];
    if (first === "{") this.object(() => this.skip());
    else if (first === "[") this.array(() => this.skip());
    else this.value();
  }

  /** Checks that only white space follows. */
  end(): void {
    this.#space();
    if (this.#at < this.#text.length) this.fail("unexpected text after the document");
  }

  fail(what: string): never {
    throw new JsonError(`${what} at character ${this.#at}`);
  }

  #countPart(): void {
    if (++this.#parts > mostParts) this.fail(`more than ${mostParts} keys and values`);
  }

  #open(bracket: string, what: string): void {
    if (!this.#accept(bracket)) this.fail(`expected ${what}`);
    if (++this.#depth > this.#deepest) this.fail(`nested more than ${this.#deepest} deep`);
  }

  #accept(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    while (" \t\n\r".includes(this.#text[this.#at] ?? "?")) this.#at++;
  }

  #number(what: string): string {
    this.#space();
    const token = numberToken.exec(this.#text.slice(this.#at, this.#at + longestNumber))?.[0];
    if (token === undefined) this.fail(`expected ${what}`);
    if (token.length === longestNumber) this.fail("a number is too long");
    this.#at += token.length;
    return token;
  }
}

/**
 * Parses a whole document. @throws JsonError on anything JSON.parse would refuse, and on equal keys.
 * @param options.deepest as for JsonReader.
 */
export function parseStrictJson(text: string, options: { readonly deepest?: number } = {}): Json {
  const reader = new JsonReader(text, options);
  const value = reader.value();
  reader.end();
  return value;
}

/**
 * Canonical JSON: keys sorted, no white space, so that equal values give equal bytes.
 * @throws JsonError on what JSON cannot carry (undefined members, NaN, infinities, bigint, functions).
 */
export function canonicalJson(value: unknown, place = "value"): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new JsonError(`${place}: ${value} cannot be written as JSON`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map((element, i) => canonicalJson(element, `${place}[${i}]`)).join(",")}]`;
  }
  if (typeof value === "object" && isPlain(value)) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member, `${place}.${key}`)}`);
    return `{${members.join(",")}}`;
  }
  throw new JsonError(`${place}: ${Object.prototype.toString.call(value)} cannot be written as JSON`);
}

function parseString(token: string): string | undefined {
  try {
    const value: unknown = JSON.parse(token);
    return typeof value === "string" && !/\p{Surrogate}/u.test(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function clip(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}...` : text;
}
