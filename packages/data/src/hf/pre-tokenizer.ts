// Pre-tokenizers of tokenizer.json: a text is cut into words, inside which merges happen. Each takes a list of words
// and gives a longer one. A closing ByteLevel is left to the caller, who maps each different word once.
import { bytesToChars } from "../byte-alphabet.ts";
import { flag, isJson, type Json, malformed, parts, pattern, text, unbuilt } from "./parts.ts";

/** Words to words; `first` says whether the first word begins the whole text. */
type Step = (words: readonly string[], first: boolean) => readonly string[];

/** Cuts text. */
export interface PreTokenizer {
  /** Words of a piece of text, none empty. */
  cut(piece: string, first: boolean): readonly string[];
  /** Whether the model's symbols are the bytes of a word instead of its characters. */
  readonly byteLevel: boolean;
}

/** Builds a pre-tokenizer; null is none. Errors: CarambaError `tokenizer-file`. */
export function buildPreTokenizer(part: unknown): PreTokenizer {
  const list = flatten(part);
  const byteLevel = list.at(-1)?.["type"] === "ByteLevel";
  const steps = list.flatMap((item, i) => buildStep(item, byteLevel && i === list.length - 1));
  return {
    byteLevel,
    cut: (piece, first) => steps.reduce((words: readonly string[], step) => step(words, first), [piece]),
  };
}

function flatten(part: unknown): readonly Json[] {
  if (part === null || part === undefined) return [];
  if (!isJson(part)) throw unbuilt("a pre-tokenizer that is not an object");
  return part["type"] === "Sequence" ? parts(part, "pretokenizers").flatMap(flatten) : [part];
}

type Behavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";
const behaviors: readonly Behavior[] = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

/** The pattern of GPT-2, where white space is Unicode's and not JavaScript's. */
export const GPT2: RegExp =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d";

function buildStep(part: Json, last: boolean): Step | readonly Step[] {
  const type = part["type"];
  switch (type) {
    case "Split":
      return splitter(pattern(part), behavior(part), flag(part, "invert"));
    case "ByteLevel": {
      const utf8 = new TextEncoder();
      const steps: Step[] = [];
      if (flag(part, "add_prefix_space", true))
        steps.push((words) => words.map((word) => (word.startsWith(" ") ? word : ` ${word}`)));
      if (flag(part, "use_regex", true)) steps.push(splitter(GPT2, "Isolated", false));
      if (!last) steps.push((words) => words.map((word) => bytesToChars(utf8.encode(word))));
      return steps;
    }
    case "Metaspace":
      return metaspace(part);
    case "Digits":
      return splitter(/\p{N}/gu, flag(part, "individual_digits") ? "Isolated" : "Contiguous", false);
    case "Punctuation":
      return splitter(/[\p{P}!-/:-@[-`{-~]/gu, behavior(part, "Isolated"), false);
    case "Whitespace":
      return splitter(new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, "gu"), "Removed", true);
    case "WhitespaceSplit":
      return splitter(/\p{White_Space}/gu, "Removed", false);
    case "CharDelimiterSplit":
      return splitter(pattern({ type, pattern: text(part, "delimiter") }), "Removed", false);
    default:
      throw unbuilt(`the pre-tokenizer ${String(type)}`);
  }
}

function behavior(part: Json, otherwise?: Behavior): Behavior {
  const named = text(part, "behavior", otherwise).toLowerCase();
  const found = behaviors.find((name) => name.toLowerCase() === named);
  if (found === undefined) throw malformed(`${String(part["type"])}: no behavior is called ${named}`);
  return found;
}

function metaspace(part: Json): Step {
  const mark = text(part, "replacement", "▁");
  if ([...mark].length !== 1) throw malformed("Metaspace: replacement must be one character");
  const older = flag(part, "add_prefix_space", true) ? "always" : "never";
  const scheme = text(part, "prepend_scheme", older);
  if (!["always", "first", "never"].includes(scheme)) throw malformed(`Metaspace: no scheme is called ${scheme}`);
  const cut = splitter(pattern({ pattern: mark }), "MergedWithNext", false);
  const isCut = flag(part, "split", true);
  return (words, first) => {
    const marked = words.map((word, i) => {
      const replaced = word.replaceAll(" ", mark);
      const prepend = scheme === "always" || (scheme === "first" && first && i === 0);
      return prepend && !replaced.startsWith(mark) ? mark + replaced : replaced;
    });
    return isCut ? cut(marked, first) : marked;
  };
}

/** Cuts at matches, or with `invert` at what lies between them; `behavior` says where a match goes. */
function splitter(regex: RegExp, how: Behavior, invert: boolean): Step {
  return (words) => words.flatMap((word) => split(word, regex, how, invert));
}

function split(word: string, regex: RegExp, how: Behavior, invert: boolean): string[] {
  // Ends of the pieces and whether each is a delimiter.
  const ends: number[] = [];
  const delimits: boolean[] = [];
  const add = (end: number, isDelimiter: boolean): void => {
    ends.push(end);
    delimits.push(isDelimiter);
  };
  let end = 0;
  for (const match of word.matchAll(regex)) {
    if (match.index > end) add(match.index, invert);
    end = match.index + match[0].length;
    add(end, !invert);
  }
  if (end < word.length) add(word.length, invert);

  const out: string[] = [];
  // Whether piece i goes on in the same word as piece i - 1.
  const joined = (i: number): boolean => {
    if (i === 0) return false;
    const [before, here] = [delimits[i - 1] as boolean, delimits[i] as boolean];
    if (how === "MergedWithPrevious") return here && !before;
    if (how === "MergedWithNext") return before && !here;
    return how === "Contiguous" && here === before;
  };
  for (let i = 0, start = 0; i < ends.length; i++) {
    const stop = ends[i] as number;
    if (i + 1 < ends.length && joined(i + 1)) continue;
    const kept = how !== "Removed" || !delimits[i];
    if (kept && stop > start) out.push(word.slice(start, stop));
    start = stop;
  }
  return out;
}
