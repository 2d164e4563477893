// For tests: many damaged copies of valid files, each made by a seed and its number alone, so that one that is found can be
// made again; and what is asked of whatever reads them.
import { memorySource, type RandomAccess } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";

/** Numbers that follow from a seed (mulberry32). */
export class Dice {
  #state: number;
  constructor(seed: number, run: number) {
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(run + 1, 0xc2b2ae35);
  }
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let word = this.#state;
    word = Math.imul(word ^ (word >>> 15), word | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return Math.floor((((word ^ (word >>> 14)) >>> 0) / 2 ** 32) * limit);
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

/** Bytes as a file that refuses to be read outside, and keeps account of what was asked for. */
export class WatchedFile implements RandomAccess {
  readonly name = "fuzz";
  readonly size: number;
  /** The longest single read. */
  largest = 0;
  readonly #inner: RandomAccess;
  constructor(bytes: Uint8Array) {
    this.#inner = memorySource(bytes, this.name);
    this.size = bytes.length;
  }
  async read(offset: number, target: Uint8Array): Promise<void> {
    this.largest = Math.max(this.largest, target.length);
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + target.length > this.size) {
      throw new RangeError(`read outside: ${offset} + ${target.length} of ${this.size}`);
    }
    await this.#inner.read(offset, target);
  }
  async close(): Promise<void> {}
}

export interface FuzzResult {
  opened: number;
  refused: number;
  /** How often each error code was given. */
  codes: Map<string, number>;
}

/**
 * Runs `attempt` on `runs` cases. Each must end well or in a CarambaError with code and remedy, within two seconds.
 * @throws Error that names the seed and the case.
 */
export async function fuzz(
  what: string,
  seed: number,
  runs: number,
  attempt: (dice: Dice) => Promise<void>,
): Promise<FuzzResult> {
  const result: FuzzResult = { opened: 0, refused: 0, codes: new Map() };
  for (let run = 0; run < runs; run++) {
    const started = performance.now();
    try {
      await attempt(new Dice(seed, run));
      result.opened++;
    } catch (error) {
      if (!(error instanceof CarambaError) || !error.code || !error.remedy || !error.message.includes("fuzz")) {
        throw new Error(`${what}: seed ${seed}, case ${run}: ${error}`, { cause: error });
      }
      result.refused++;
      result.codes.set(error.code, (result.codes.get(error.code) ?? 0) + 1);
    }
    const took = performance.now() - started;
    if (took > 2000) throw new Error(`${what}: seed ${seed}, case ${run} took ${took} ms`);
  }
  return result;
}

/** Fails the case at hand. */
export function demand(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

const edges = [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];

/** Some bytes changed, at places from `from` to below `to`. */
export function damage(dice: Dice, bytes: Uint8Array, from = 0, to: number = bytes.length): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const at = from + dice.below(Math.max(1, to - from));
  switch (dice.below(6)) {
    case 0:
      copy[at] = dice.below(256);
      break;
    case 1:
      copy[at] = (copy[at] as number) ^ (1 << dice.below(8));
      break;
    case 2:
      if (at + 4 <= copy.length) view.setUint32(at, dice.pick(edges), true);
      break;
    case 3:
      if (at + 2 <= copy.length) view.setUint16(at, dice.pick(edges), true);
      break;
    case 4:
      // A piece from elsewhere.
      copy.copyWithin(at, dice.below(copy.length), dice.below(copy.length));
      break;
    default:
      return splice(copy, at, dice.below(3) === 0 ? copy.length : dice.below(9), new Uint8Array(dice.below(9)));
  }
  return copy;
}

/** `count` bytes at `at` replaced. */
export function splice(bytes: Uint8Array, at: number, count: number, put: Uint8Array): Uint8Array {
  const rest = bytes.subarray(Math.min(bytes.length, at + count));
  const result = new Uint8Array(at + put.length + rest.length);
  result.set(bytes.subarray(0, at));
  result.set(put, at);
  result.set(rest, at + put.length);
  return result;
}

const words = [
  ...'{}[]:,"\\-.0123456789',
  "e9",
  "24",
  "4294967296",
  "9007199254740993",
  "1e400",
  '"a"',
  '"dtype"',
  '"shape"',
  '"data_offsets"',
  '"F64"',
  '"I8"',
  '"weight_map"',
  '"__proto__"',
  '"__metadata__"',
  '".."',
  "../",
  "/",
  "\\\\",
  "null",
  "true",
  "\u0000",
  "é",
  '"\\ud800"',
];

/** JSON text with a token put in, taken out or exchanged, or one of its numbers changed. */
export function damageText(dice: Dice, text: string): string {
  const at = dice.below(text.length + 1);
  if (dice.below(2) === 0) {
    const numbers = [...text.matchAll(/[0-9]+/g)];
    const found = numbers.length > 0 ? dice.pick(numbers) : undefined;
    if (found) {
      const value = dice.pick([
        String(dice.below(100)),
        "-1",
        "0",
        "1.5",
        "9007199254740991",
        "1e3",
        found[0] + found[0],
      ]);
      return text.slice(0, found.index) + value + text.slice(found.index + found[0].length);
    }
  }
  return text.slice(0, at) + dice.pick(words) + text.slice(at + dice.pick([0, 0, 1, 1, 2, 5, 12]));
}
