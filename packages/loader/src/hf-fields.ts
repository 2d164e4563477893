// The keys of a Hugging Face config.json, checked as they are read. A key that is read is known; the others are listed,
// so that nothing is passed over unseen. As in transformers, null means that a key is not given.
import type { Json } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";

export type JsonObject = { readonly [key: string]: Json };

const kinds = {
  size: ["a whole number above 0", (v: Json) => typeof v === "number" && Number.isSafeInteger(v) && v > 0],
  count: ["a whole number of at least 0", (v: Json) => typeof v === "number" && Number.isSafeInteger(v) && v >= 0],
  positive: ["a number above 0", (v: Json) => typeof v === "number" && v > 0],
  fraction: ["a number from 0 to below 1", (v: Json) => typeof v === "number" && v >= 0 && v < 1],
  flag: ["true or false", (v: Json) => typeof v === "boolean"],
  word: ["a string", (v: Json) => typeof v === "string"],
  list: ["a list", (v: Json) => Array.isArray(v)],
  object: ["an object", (v: Json) => typeof v === "object" && v !== null && !Array.isArray(v)],
} as const satisfies Readonly<Record<string, readonly [string, (value: Json) => boolean]>>;

interface Types {
  size: number;
  count: number;
  positive: number;
  fraction: number;
  flag: boolean;
  word: string;
  list: readonly Json[];
  object: JsonObject;
}

/** Reads one object's keys, remembering which. */
export class HfFields {
  readonly json: JsonObject;
  readonly place: string;
  readonly #within: string;
  readonly #used = new Set<string>();

  /** @param within what the object is part of, for messages: `rope_scaling.`. */
  constructor(json: Json, place: string, within = "") {
    if (json === null || typeof json !== "object" || Array.isArray(json)) throw badConfig(place, "is not an object");
    this.json = json as JsonObject;
    this.place = place;
    this.#within = within;
  }

  /** Whether the key is there, null or not. */
  names(key: string): boolean {
    return this.json[key] !== undefined;
  }

  /** The value, or null where the key is absent or null. */
  optional<K extends keyof Types>(key: string, kind: K): Types[K] | null {
    this.#used.add(key);
    const value = this.json[key] ?? null;
    if (value === null) return null;
    const [expected, fits] = kinds[kind];
    if (!fits(value)) throw badConfig(this.place, `${this.#within}${key} is ${clip(value)}, expected ${expected}`);
    return value as Types[K];
  }

  /** The value, or `fallback`; an error where there is neither. */
  get<K extends keyof Types>(key: string, kind: K, fallback?: Types[K]): Types[K] {
    const value = this.optional(key, kind) ?? fallback;
    if (value === undefined) throw badConfig(this.place, `${this.#within}${key} is missing`);
    return value;
  }

  /** Takes note of a key that changes nothing if its value is one of these. @throws CarambaError `unsupported-model`. */
  demand(key: string, isNeutral: (value: Json) => boolean, remedy = "Use a checkpoint without it."): void {
    this.#used.add(key);
    const value = this.json[key] ?? null;
    if (value !== null && !isNeutral(value))
      throw unsupported(this.place, `${this.#within}${key} ${clip(value)}`, remedy);
  }

  /** Keys that were never read. */
  get unread(): string[] {
    return Object.keys(this.json).filter((key) => !this.#used.has(key));
  }
}

/** A value as messages show it. */
export function clip(value: Json | readonly Json[]): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

export function badConfig(place: string, what: string, cause?: unknown): CarambaError {
  return new CarambaError(`${place}: ${what}`, {
    code: "bad-config",
    remedy: "Check that the folder holds a complete checkpoint of a model of the Llama family.",
    cause,
  });
}

export function unsupported(place: string, what: string, remedy: string): CarambaError {
  return new CarambaError(`${place}: ${what} is not supported`, { code: "unsupported-model", remedy });
}
