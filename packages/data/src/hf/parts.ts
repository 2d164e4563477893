// Reading the parts of a tokenizer.json (normalizer, pre-tokenizer ...), which are untrusted JSON: each is an object with
// a `type` and fields. What this package does not build is refused by name, so that no file is read in another sense.
import { CarambaError } from "@caramba/tensor";
import { Tokenizer as HfLibrary } from "@huggingface/tokenizers";
import { repeatsAmbiguously } from "./regex-guard.ts";

/** A parsed JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** Whether a parsed JSON value is an object. */
export function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The error for a file that contradicts itself or the format. */
export function malformed(what: string): CarambaError {
  return new CarambaError(what, { code: "tokenizer-file", remedy: "the file is damaged; fetch it again" });
}

/** The error for a part that is well formed and not built. */
export function unbuilt(what: string): CarambaError {
  return new CarambaError(`${what} is not supported`, {
    code: "tokenizer-file",
    remedy:
      "use a tokenizer of a Llama, Mistral, Qwen, SmolLM, Gemma or GPT-2 kind, or encode the text with the model's own tools",
  });
}

/** A string field. */
export function text(part: Json, key: string, otherwise?: string): string {
  const value = part[key] ?? otherwise;
  if (typeof value === "string") return value;
  throw malformed(`${String(part["type"])}: ${key} must be a string`);
}

/** A field that is true or false; absent is false unless said. */
export function flag(part: Json, key: string, otherwise = false): boolean {
  const value = part[key] ?? otherwise;
  if (typeof value === "boolean") return value;
  throw malformed(`${String(part["type"])}: ${key} must be true or false`);
}

/** A whole number of at least 0; absent is 0. */
export function count(part: Json, key: string): number {
  const value = part[key] ?? 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw malformed(`${String(part["type"])}: ${key} must be a whole number`);
}

/** A list of parts. */
export function parts(part: Json, key: string): readonly Json[] {
  const value = part[key];
  if (Array.isArray(value) && value.every(isJson)) return value;
  throw malformed(`${String(part["type"])}: ${key} must be a list of objects`);
}

/** A pattern field, {String} or {Regex} in Oniguruma syntax, as a regular expression with the flags g and u. */
export function pattern(part: Json): RegExp {
  const given = part["pattern"];
  const literal = isJson(given) ? given["String"] : given;
  if (typeof literal === "string") return new RegExp(literal.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "gu");
  const source = isJson(given) ? given["Regex"] : undefined;
  if (typeof source !== "string") throw malformed(`${String(part["type"])}: a pattern is {String} or {Regex}`);
  return compileRegex(source);
}

/** Refuses a pattern that takes for ever on some texts. Errors: CarambaError `tokenizer-file`. */
export function demandBounded(source: string): void {
  if (repeatsAmbiguously(source))
    throw unbuilt(
      `the pattern ${source}, a repetition of what matches in several ways, which takes for ever on some texts,`,
    );
}

/** The same for every pattern in a parsed file, however it is nested. */
export function demandBoundedPatterns(value: unknown): void {
  if (Array.isArray(value)) for (const item of value) demandBoundedPatterns(item);
  else if (isJson(value)) {
    if (typeof value["Regex"] === "string") demandBounded(value["Regex"]);
    for (const item of Object.values(value)) if (typeof item === "object") demandBoundedPatterns(item);
  }
}

/** Oniguruma syntax to JavaScript's, by the translation of the Hugging Face library. */
export function compileRegex(source: string): RegExp {
  demandBounded(source);
  // The library exports its translation only as part of a pre-tokenizer, and that without usable types.
  const split = { type: "Split", pattern: { Regex: longS(source) }, behavior: "Isolated", invert: false };
  const model = { type: "BPE", vocab: {}, merges: [] };
  const rest = { normalizer: null, post_processor: null, decoder: null, added_tokens: [] };
  try {
    const library: { readonly pre_tokenizer: unknown } = new HfLibrary({ model, pre_tokenizer: split, ...rest }, {});
    const { pattern: regex } = library.pre_tokenizer as { readonly pattern?: unknown };
    if (regex instanceof RegExp) return regex;
  } catch (error) {
    throw unbuilt(`the pattern ${source} (${(error as Error).message})`);
  }
  throw unbuilt(`the pattern ${source}`);
}

// Without regard to case, "s" is also the long s; the library folds ASCII alone.
const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
function longS(source: string): string {
  return source.replaceAll(CONTRACTIONS, "(?:'[sSſ]|(?i:'t|'re|'ve|'m|'ll|'d))");
}
