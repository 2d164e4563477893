// Chat templates: a conversation to the text a chat model was trained on. A model's folder brings its template, in Jinja,
// in tokenizer_config.json (one, or several by name), chat_template.jinja or additional_chat_templates/; older folders in
// chat_template.json, and their special tokens in special_tokens_map.json. It is rendered as transformers does: with the
// special tokens of the configuration, raise_exception and strftime_now. A template is someone else's program, so it
// runs in a thread of its own with bounded memory and time (render-template.ts).

import { existsSync, readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseStrictJson, readError } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { type RenderLimits, renderTemplate } from "./render-template.ts";
import { isRecord } from "./tokenizer-json.ts";

/** One message: `role` (system, user, assistant, tool ...), `content`, and whatever else a template reads. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

/** How a conversation is rendered. */
export interface ApplyChatTemplateOptions {
  /** End with what begins an answer of the assistant. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Tools as JSON Schema objects, passed on as they are. */
  readonly tools?: readonly object[];
  /** Which of several templates; default `tool_use` with tools where there is one, then `default`. */
  readonly template?: string;
  /** What strftime_now says; default the present. */
  readonly now?: Date;
  /** Further variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

// Published templates have up to 20 KB.
const MAX_TEMPLATE = 1 << 20;

/** The chat templates of a model. */
export class ChatTemplate {
  /** Templates by name; a single one is `default`. */
  readonly templates: ReadonlyMap<string, string>;
  /** Special tokens that templates may read: bos_token, eos_token ... */
  readonly tokens: Readonly<Record<string, string>>;
  readonly #limits: RenderLimits;

  /** @param limits memory and time of one rendering; default 64 MiB and 5 s. Errors: CarambaError `chat-template`. */
  constructor(
    templates: ReadonlyMap<string, string>,
    tokens: Readonly<Record<string, string>> = {},
    limits: RenderLimits = { memoryMiB: 64, seconds: 5 },
  ) {
    this.templates = templates;
    this.tokens = tokens;
    this.#limits = limits;
    for (const [name, source] of templates)
      if (source.length > MAX_TEMPLATE) throw failed(`template ${name} is longer than 1 MiB`, "use another model's");
  }

  /** The templates in a model's folder; undefined where there is none. Errors: CarambaError `chat-template`, `tokenizer-file`. */
  static async load(folder: string): Promise<ChatTemplate | undefined> {
    const config = await readConfig(join(folder, "tokenizer_config.json"));
    const older = await readConfig(join(folder, "chat_template.json"));
    const templates = new Map(listed(config["chat_template"] ?? older["chat_template"]));
    const extra = join(folder, "additional_chat_templates");
    const files = existsSync(extra) ? readdirSync(extra).filter((name) => name.endsWith(".jinja")) : [];
    for (const name of files.sort()) templates.set(basename(name, ".jinja"), await readSource(join(extra, name)));
    const own = join(folder, "chat_template.jinja");
    if (existsSync(own)) templates.set("default", await readSource(own));
    const tokens = {
      ...specialTokens(await readConfig(join(folder, "special_tokens_map.json"))),
      ...specialTokens(config),
    };
    return templates.size === 0 ? undefined : new ChatTemplate(templates, tokens);
  }

  /**
   * The conversation as text. Encode it without `addSpecial`: a template writes begin-of-text itself.
   * Errors: CarambaError `chat-template` where the template refuses the conversation or exceeds its bounds.
   */
  async apply(messages: readonly ChatMessage[], options: ApplyChatTemplateOptions = {}): Promise<string> {
    const { addGenerationPrompt = false, tools, now = new Date(), variables = {} } = options;
    const context = {
      ...this.tokens,
      messages: messages.map(asTemplatesExpect),
      add_generation_prompt: addGenerationPrompt,
      tools: tools ?? null,
      documents: null,
      ...variables,
    };
    const source = this.#choose(options);
    try {
      return await renderTemplate(source, context, now, this.#limits);
    } catch (error) {
      // Jinja takes what is absent for an empty text where it is filtered; the JavaScript library refuses.
      if (!(error as Error).message.includes("to type: UndefinedValue")) throw error;
      const filled = context.messages.map((message) => ({ content: "", ...message }));
      return renderTemplate(source, { ...context, messages: filled }, now, this.#limits);
    }
  }

  #choose({ template, tools }: ApplyChatTemplateOptions): string {
    const names = template === undefined ? [...(tools ? ["tool_use"] : []), "default"] : [template];
    for (const name of names) {
      const source = this.templates.get(name);
      if (source !== undefined) return source;
    }
    const have = [...this.templates.keys()].join(", ");
    throw failed(`there is no chat template ${names.at(-1)}`, `name one of: ${have}`);
  }
}

/** As transformers 5: fields that are null are absent, and reasoning goes by all of its names. */
function asTemplatesExpect(message: ChatMessage): Readonly<Record<string, unknown>> {
  const given = Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  );
  const reasoning = given["reasoning_content"] ?? given["thinking"] ?? given["reasoning"];
  return reasoning === undefined ? given : { thinking: reasoning, ...given, reasoning_content: reasoning };
}

function listed(value: unknown): [string, string][] {
  if (value === undefined || value === null) return [];
  if (typeof value === "string") return [["default", value]];
  if (Array.isArray(value))
    return value.map((item: unknown): [string, string] => {
      if (isRecord(item) && typeof item["name"] === "string" && typeof item["template"] === "string")
        return [item["name"], item["template"]];
      throw failed("an item of the list chat_template has no name or no template", "fetch the file again");
    });
  throw failed("chat_template is neither a text nor a list", "fetch the file again");
}

/** `bos_token` and so on: a text, or an object with its content. */
function specialTokens(config: Record<string, unknown>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const name of ["bos", "eos", "unk", "sep", "pad", "cls", "mask"]) {
    const value = config[`${name}_token`];
    const content = isRecord(value) ? value["content"] : value;
    if (typeof content === "string") tokens[`${name}_token`] = content;
  }
  return tokens;
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  if (!existsSync(path)) return {};
  const text = await readSource(path, 64 << 20);
  try {
    const json = parseStrictJson(text);
    if (isRecord(json)) return json;
  } catch (error) {
    throw failed(`${path} is not JSON (${(error as Error).message})`, "fetch the file again");
  }
  throw failed(`${path} is not a JSON object`, "fetch the file again");
}

async function readSource(path: string, limit: number = MAX_TEMPLATE): Promise<string> {
  try {
    const stat = statSync(path);
    // A pipe would be waited for, a device has no end.
    if (!stat.isFile() && !stat.isDirectory())
      throw failed(`${path} is not a regular file`, "put the file in its place");
    if (stat.size <= limit) return await readFile(path, "utf8");
  } catch (error) {
    throw readError(path, error, "read");
  }
  throw failed(`${path} is larger than ${limit >> 20} MiB`, "fetch the file again");
}

function failed(message: string, remedy: string): CarambaError {
  return new CarambaError(message, { code: "chat-template", remedy });
}
