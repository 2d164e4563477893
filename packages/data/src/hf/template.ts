// Post-processors of tokenizer.json: the special tokens that a model's own template puts before and after one text.
import { isJson, type Json, malformed, parts, text, unbuilt } from "./parts.ts";

/** Ids around a text. */
export interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** What a post-processor puts around a single text; null is nothing. Errors: CarambaError `tokenizer-file`. */
export function readTemplate(part: unknown): Around {
  if (part === null || part === undefined) return { before: [], after: [] };
  if (!isJson(part)) throw unbuilt("a post-processor that is not an object");
  const type = part["type"];
  switch (type) {
    case "ByteLevel":
      // Changes offsets alone.
      return { before: [], after: [] };
    case "Sequence":
      return parts(part, "processors")
        .map(readTemplate)
        .reduce((inner, outer) => ({
          before: [...outer.before, ...inner.before],
          after: [...inner.after, ...outer.after],
        }));
    case "RobertaProcessing":
    case "BertProcessing":
      return { before: [pairId(part, "cls")], after: [pairId(part, "sep")] };
    case "TemplateProcessing":
      return readItems(part);
    default:
      throw unbuilt(`the post-processor ${String(type)}`);
  }
}

function pairId(part: Json, key: string): number {
  const pair = part[key];
  return id(Array.isArray(pair) ? pair[1] : undefined, key);
}

function id(value: unknown, name: string): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw malformed(`post_processor: ${name} has no id`);
}

function readItems(part: Json): Around {
  const known = part["special_tokens"];
  const before: number[] = [];
  const after: number[] = [];
  let sequences = 0;
  for (const item of parts({ ...part, type: "TemplateProcessing" }, "single")) {
    if (isJson(item["Sequence"])) {
      if (item["Sequence"]["id"] !== "A") throw malformed("post_processor: a single text has only sequence A");
      sequences++;
      continue;
    }
    if (!isJson(item["SpecialToken"])) throw malformed("post_processor: an item is neither token nor sequence");
    const name = text(item["SpecialToken"], "id");
    const token = isJson(known) && Object.hasOwn(known, name) ? known[name] : undefined;
    const ids = isJson(token) && Array.isArray(token["ids"]) ? token["ids"] : [undefined];
    (sequences === 0 ? before : after).push(...ids.map((value) => id(value, name)));
  }
  if (sequences !== 1) throw malformed(`post_processor: the template holds the text ${sequences} times`);
  return { before, after };
}
