// Decoders of tokenizer.json: tokens back to text. A decoder is a chain of steps over a stream of tokens; each step
// takes one token and gives those that became certain, so that text can be shown while it is generated and the whole
// text is nothing but the pieces joined. After Fuse, all that follows is one token that comes in pieces.
import { charsToBytes } from "../byte-alphabet.ts";
import { replacement } from "./normalizer.ts";
import { count, flag, isJson, type Json, malformed, parts, text, unbuilt } from "./parts.ts";

/** One step of a decoder, with its state. */
export interface DecodeStep {
  push(token: string): readonly string[];
  end(): readonly string[];
}

/** What a chain does; `start` begins a new text. `eager` shows bytes as soon as they are characters, see byteFallback. */
export interface DecodeChain {
  start(eager: boolean): DecodeStep;
}

/** Builds a decoder; null joins tokens with spaces, as the libraries do. Errors: CarambaError `tokenizer-file`. */
export function buildDecoder(part: unknown): DecodeChain {
  if (part === null || part === undefined)
    return { start: () => perToken((token, i) => (i === 0 ? token : ` ${token}`)) };
  if (!isJson(part)) throw unbuilt("a decoder that is not an object");
  const makers: ((eager: boolean) => DecodeStep)[] = [];
  let fused = false;
  for (const item of flatten(part)) {
    const type = item["type"];
    if (type === "Fuse") fused = true;
    else makers.push(stepMaker(item, fused));
  }
  return { start: (eager) => chain(makers.map((make) => make(eager))) };
}

function flatten(part: Json): readonly Json[] {
  return part["type"] === "Sequence" ? parts(part, "decoders").flatMap(flatten) : [part];
}

function stepMaker(part: Json, fused: boolean): (eager: boolean) => DecodeStep {
  const type = part["type"];
  switch (type) {
    case "Replace": {
      const replace = replacement(part);
      return fused ? () => wholeText(replace) : () => perToken(replace);
    }
    case "ByteFallback":
      if (fused) throw unbuilt("the decoder ByteFallback after Fuse");
      return byteFallback;
    case "ByteLevel":
      return byteLevel;
    case "Strip": {
      const [content, start, stop] = [text(part, "content"), count(part, "start"), count(part, "stop")];
      if ([...content].length !== 1) throw malformed("Strip: content must be one character");
      return fused
        ? () => stripStream(content, start, stop)
        : () => perToken((token) => strip(token, content, start, stop));
    }
    case "Metaspace": {
      const mark = text(part, "replacement", "▁");
      const prepends =
        text(part, "prepend_scheme", flag(part, "add_prefix_space", true) ? "always" : "never") !== "never";
      return () => perToken((token, i) => token.replaceAll(mark, i === 0 && prepends ? "" : " "));
    }
    default:
      throw unbuilt(`the decoder ${String(type)}`);
  }
}

function chain(steps: readonly DecodeStep[]): DecodeStep {
  const through = (tokens: readonly string[], from: number): readonly string[] =>
    steps.slice(from).reduce((list, step) => list.flatMap((token) => step.push(token)), tokens);
  return {
    push: (token) => through([token], 0),
    end: () => steps.flatMap((step, i) => through(step.end(), i + 1)),
  };
}

/** A step that sees each token by itself. */
function perToken(change: (token: string, index: number) => string): DecodeStep {
  let index = 0;
  return { push: (token) => [change(token, index++)], end: () => [] };
}

/** A step that needs the whole text: nothing comes before the end. */
function wholeText(change: (whole: string) => string): DecodeStep {
  let whole = "";
  return {
    push: (token) => {
      whole += token;
      return [];
    },
    end: () => [change(whole)],
  };
}

function strip(token: string, content: string, start: number, stop: number): string {
  const characters = [...token];
  let from = 0;
  while (from < start && characters[from] === content) from++;
  let to = characters.length;
  while (characters.length - to < stop && to > 0 && characters[to - 1] === content) to--;
  return characters.slice(from, Math.max(from, to)).join("");
}

/** Strip of a fused text: at the start as it comes, at the end by holding back what might be the end. */
function stripStream(content: string, start: number, stop: number): DecodeStep {
  let left = start;
  let held = "";
  return {
    push: (token) => {
      let piece = token;
      while (left > 0 && piece !== "") {
        if (!piece.startsWith(content)) left = 0;
        else {
          piece = piece.slice(content.length);
          left--;
        }
      }
      const all = held + piece;
      const shown = strip(all, content, 0, stop);
      held = all.slice(shown.length);
      return [shown];
    },
    end: () => [],
  };
}

/** Bytes as UTF-8; the alphabet of GPT-2 stands for bytes, a token with any other character for itself. */
function byteLevel(): DecodeStep {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const utf8 = new TextEncoder();
  return {
    push: (token) => [decoder.decode(charsToBytes(token) ?? utf8.encode(token), { stream: true })],
    end: () => [decoder.decode()],
  };
}

const REPLACEMENT = "\ufffd";
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function byteOf(token: string): number | undefined {
  const [, digits] = /^<0x([0-9a-fA-F]{2})>$/.exec(token) ?? [];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/**
 * Tokens <0x00> to <0xFF> as bytes. A run of them that is no UTF-8 becomes one U+FFFD per byte, all of it; where it is
 * read eagerly, what of it was valid and shown stays shown.
 */
function byteFallback(eager: boolean): DecodeStep {
  let run: number[] = [];
  const close = (): readonly string[] => {
    if (run.length === 0) return [];
    const out = readUtf8(run) ?? REPLACEMENT.repeat(run.length);
    run = [];
    return [out];
  };
  return {
    push: (token) => {
      const byte = byteOf(token);
      if (byte === undefined) return [...close(), token];
      run.push(byte);
      return eager && readUtf8(run) !== undefined ? close() : [];
    },
    end: close,
  };
}

function readUtf8(bytes: readonly number[]): string | undefined {
  try {
    return strict.decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}
