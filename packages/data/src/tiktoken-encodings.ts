// Which rank vocabularies there are: OpenAI's encodings, whose ranks come with the package js-tiktoken, and rank files
// (`.tiktoken`; Llama 3's tokenizer.model) that the user has. A rank file says nothing of the pattern that cuts words
// nor of special tokens: both are known by the encoding's name. Patterns: tiktoken_ext/openai_public.py of tiktoken 0.14
// and the tokenizer of Llama 3 (Meta), in JavaScript's syntax, where "s" without regard to case is also the long s.
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { CarambaError } from "@caramba/tensor";
import { GPT2 } from "./hf/pre-tokenizer.ts";
import { type RankVocabulary, TiktokenTokenizer } from "./tiktoken-tokenizer.ts";

const S = "\\p{White_Space}";
const CONTRACTION = "'(?:[sSſdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])";
const unicode = (...alternatives: string[]): RegExp => new RegExp(alternatives.join("|"), "gu");

const cl100k = unicode(
  CONTRACTION,
  "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+",
  "\\p{N}{1,3}",
  ` ?[^${S}\\p{L}\\p{N}]+[\\r\\n]*`,
  `${S}+$`,
  `${S}*[\\r\\n]`,
  `${S}+(?!\\P{White_Space})`,
  S,
);
const llama3 = unicode(
  CONTRACTION,
  "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+",
  "\\p{N}{1,3}",
  ` ?[^${S}\\p{L}\\p{N}]+[\\r\\n]*`,
  `${S}*[\\r\\n]+`,
  `${S}+(?!\\P{White_Space})`,
  `${S}+`,
);
const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const o200k = unicode(
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+(?:${CONTRACTION})?`,
  `[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*(?:${CONTRACTION})?`,
  "\\p{N}{1,3}",
  ` ?[^${S}\\p{L}\\p{N}]+[\\r\\n/]*`,
  `${S}*[\\r\\n]+`,
  `${S}+(?!\\P{White_Space})`,
  `${S}+`,
);

/** The same patterns in the syntax of tokenizer.json: of cl100k as tiktoken 0.14 has it, of the others as published. */
const published = new Map([
  [GPT2, "gpt2"],
  [
    cl100k,
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s+(?![\\s\\S])|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
  ],
  [
    llama3,
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ],
  [
    o200k,
    [
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
      "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ].join("|"),
  ],
]);
const inJson = (pattern: RegExp): { published?: string } => {
  const text = published.get(pattern);
  return text === undefined ? {} : { published: text };
};

const END = "<|endoftext|>";
const FILL = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"];
const numbered = (names: readonly string[], from: number): [string, number][] =>
  names.map((name, i) => [name, from + i]);

interface Encoding {
  readonly pattern: RegExp;
  readonly special: readonly (readonly [string, number])[];
  /** sha256 of the published .tiktoken file. */
  readonly sha256?: string;
  readonly ranks: () => Promise<{ default: { bpe_ranks: string } }>;
}

const r50kHash = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930";
const encodings: Readonly<Record<string, Encoding>> = {
  gpt2: { pattern: GPT2, special: [[END, 50256]], ranks: () => import("js-tiktoken/ranks/gpt2") },
  r50k_base: {
    pattern: GPT2,
    special: [[END, 50256]],
    sha256: r50kHash,
    ranks: () => import("js-tiktoken/ranks/r50k_base"),
  },
  p50k_base: {
    pattern: GPT2,
    special: [[END, 50256]],
    sha256: "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
    ranks: () => import("js-tiktoken/ranks/p50k_base"),
  },
  p50k_edit: {
    pattern: GPT2,
    special: [[END, 50256], ...numbered(FILL, 50281)],
    ranks: () => import("js-tiktoken/ranks/p50k_edit"),
  },
  cl100k_base: {
    pattern: cl100k,
    special: [[END, 100257], ...numbered(FILL, 100258), ["<|endofprompt|>", 100276]],
    sha256: "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ranks: () => import("js-tiktoken/ranks/cl100k_base"),
  },
  o200k_base: {
    pattern: o200k,
    special: [
      [END, 199999],
      ["<|endofprompt|>", 200018],
    ],
    sha256: "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ranks: () => import("js-tiktoken/ranks/o200k_base"),
  },
};

/** Names that `tiktoken:NAME` takes without a file. */
export const tiktokenEncodings: readonly string[] = Object.keys(encodings);

/** One of OpenAI's encodings. Errors: CarambaError `unknown-tokenizer`. */
export async function tiktokenEncoding(name: string): Promise<TiktokenTokenizer> {
  const encoding = Object.hasOwn(encodings, name) ? encodings[name] : undefined;
  if (encoding === undefined)
    throw new CarambaError(`tiktoken has no encoding "${name}" here; there are ${tiktokenEncodings.join(", ")}`, {
      code: "unknown-tokenizer",
      remedy: name.startsWith("llama")
        ? "Llama 3's ranks come with the model: give the path of its tokenizer.json, or tiktoken:<path of its tokenizer.model>"
        : "or give a rank file: tiktoken:<path>",
    });
  const { bpe_ranks } = (await encoding.ranks()).default;
  const { pattern, special } = encoding;
  return new TiktokenTokenizer({
    name,
    tokens: unpack(bpe_ranks),
    special: new Map(special),
    pattern,
    ...inJson(pattern),
    eos: END,
  });
}

/** Lines of `! first token token ...` with base64 tokens: ids count up from `first`. */
function unpack(packed: string): Uint8Array[] {
  const tokens: Uint8Array[] = [];
  for (const line of packed.split("\n")) {
    const [, first, ...list] = line.split(" ");
    list.forEach((token, i) => {
      tokens[Number(first) + i] = Buffer.from(token, "base64");
    });
  }
  // A gap is left for a special token.
  return Array.from(tokens);
}

/** Whether a file's beginning is that of a rank file: base64, a space, a number. */
export function isRankFile(text: string): boolean {
  return /^[A-Za-z0-9+/]+={0,2} \d+\r?\n/.test(text);
}

/**
 * A rank file's tokenizer: which encoding it is of follows from its content (sha256) or its name (`cl100k_base.tiktoken`);
 * a `.model` file is Llama 3's. Errors: CarambaError `tokenizer-file`.
 */
export function tiktokenFile(text: string, path: string): TiktokenTokenizer {
  const tokens = readRanks(text, path);
  const sha256 = createHash("sha256").update(text).digest("hex");
  const name =
    Object.keys(encodings).find((key) => encodings[key]?.sha256 === sha256) ??
    basename(path).replace(/\.tiktoken$/, "");
  const encoding = Object.hasOwn(encodings, name) ? encodings[name] : undefined;
  if (encoding) {
    const special = new Map(encoding.special);
    const taken = [...special].find(([, id]) => tokens[id] !== undefined);
    if (taken) throw damaged(path, `rank ${taken[1]} belongs to ${taken[0]}`);
    const { pattern } = encoding;
    return new TiktokenTokenizer({ name, tokens, special, pattern, ...inJson(pattern), eos: END });
  }
  if (path.endsWith(".model")) return llama3File(tokens, path);
  throw new CarambaError(`${path}: nothing says which encoding this rank file is of`, {
    code: "tokenizer-file",
    remedy: `name it after its encoding (${tiktokenEncodings.map((key) => `${key}.tiktoken`).join(", ")}), or tokenizer.model where it is Llama 3's`,
  });
}

/** Llama 3: 256 special tokens follow the ranks, named as in Llama 3.1 to 3.3 (3.0 names some of the unused differently). */
function llama3File(tokens: RankVocabulary["tokens"], path: string): TiktokenTokenizer {
  const reserved = (i: number): string => `<|reserved_special_token_${i}|>`;
  const names = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    reserved(0),
    reserved(1),
    "<|finetune_right_pad_id|>",
    reserved(2),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
  ];
  for (let i = 3; names.length < 256; i++) names.push(reserved(i));
  const special = new Map(numbered(names, tokens.length));
  return new TiktokenTokenizer({
    name: path,
    tokens,
    special,
    pattern: llama3,
    ...inJson(llama3),
    bos: "<|begin_of_text|>",
    eos: "<|end_of_text|>",
  });
}

const MAX_RANK = 1 << 20;

function readRanks(text: string, path: string): (Uint8Array | undefined)[] {
  const tokens: (Uint8Array | undefined)[] = [];
  const seen = new Set<string>();
  let number = 0;
  for (const line of text.split("\n")) {
    number++;
    if (line.trim() === "") continue;
    const [, base64, digits] = /^([A-Za-z0-9+/]+={0,2}) (\d+)\r?$/.exec(line) ?? [];
    const rank = Number(digits);
    if (base64 === undefined || rank >= MAX_RANK)
      throw damaged(path, `line ${number} is not base64, a space and a rank`);
    const bytes = Buffer.from(base64, "base64");
    const key = bytes.toString("latin1");
    if (tokens[rank] !== undefined || seen.has(key))
      throw damaged(path, `line ${number} gives a rank or a token twice`);
    seen.add(key);
    while (tokens.length <= rank) tokens.push(undefined);
    tokens[rank] = bytes;
  }
  for (let byte = 0; byte < 256; byte++)
    if (!seen.has(String.fromCharCode(byte))) throw damaged(path, `byte ${byte} has no token`);
  return tokens;
}

function damaged(path: string, what: string): CarambaError {
  return new CarambaError(`${path}: ${what}`, {
    code: "tokenizer-file",
    remedy: "the file is damaged; fetch it again",
  });
}
