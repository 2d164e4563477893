// Normalizers of tokenizer.json: text to the text that is cut and merged.
import { bytesToChars } from "../byte-alphabet.ts";
import { flag, isJson, type Json, parts, pattern, text, unbuilt } from "./parts.ts";

/** Text to text. */
export type Normalizer = (input: string) => string;

const identity: Normalizer = (input) => input;

/** Builds a normalizer; null is none. Errors: CarambaError `tokenizer-file`. */
export function buildNormalizer(part: unknown): Normalizer {
  if (part === null || part === undefined) return identity;
  if (!isJson(part)) throw unbuilt("a normalizer that is not an object");
  const type = part["type"];
  switch (type) {
    case "Sequence": {
      const steps = parts(part, "normalizers").map(buildNormalizer);
      return (input) => steps.reduce((value, step) => step(value), input);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD":
      return (input) => input.normalize(type);
    case "Prepend": {
      const prefix = text(part, "prepend");
      return (input) => (input === "" ? input : prefix + input);
    }
    case "Replace":
      return replacement(part);
    case "Strip": {
      const [left, right] = [flag(part, "strip_left"), flag(part, "strip_right")];
      return (input) => {
        const started = left ? input.replace(/^\p{White_Space}+/u, "") : input;
        return right ? trimEnd(started) : started;
      };
    }
    case "Lowercase":
      // One character at a time: the final sigma of a word is not special.
      return (input) => Array.from(input, (character) => character.toLowerCase()).join("");
    case "StripAccents":
      return (input) => input.replace(/\p{M}+/gu, "");
    case "ByteLevel": {
      const utf8 = new TextEncoder();
      return (input) => bytesToChars(utf8.encode(input));
    }
    default:
      throw unbuilt(`the normalizer ${String(type)}`);
  }
}

/** Replace, of normalizers and decoders alike. */
export function replacement(part: Json): Normalizer {
  const regex = pattern(part);
  const content = text(part, "content");
  // A function, so that $ in the content is no reference.
  return (input) => input.replace(regex, () => content);
}

/** Without white space at the end; from the end on, so that time does not grow with the square of a run inside. */
export function trimEnd(input: string): string {
  let end = input.length;
  while (end > 0 && /\p{White_Space}/u.test(input[end - 1] as string)) end--;
  return input.slice(0, end);
}
