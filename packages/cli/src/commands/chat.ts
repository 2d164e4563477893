// caramba chat: a conversation with a checkpoint, on a terminal or through a pipe (a line is a turn). Answers go to
// standard output, all else to standard error.
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ChatTemplate, type Tokenizer } from "@caramba/data";
import { parseStrictJson, readTextFile } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { Conversation, type Turn } from "../chat/conversation.ts";
import { Turns } from "../chat/turns.ts";
import { openGenerator, openSpokenModel, type SamplingOptions } from "./open-generator.ts";

/** Options of `caramba chat`. */
export interface ChatOptions extends SamplingOptions {
  readonly system?: string;
  readonly context?: number;
}

const interruptedCode = 130;
const defaultContext = 2048;
const help = `/reset  begin anew
/exit   leave (or Ctrl-D)
/help   this
//text  send /text
Ctrl-C stops an answer; another one leaves.`;

/** Converses until the person leaves or the pipe ends. Returns the exit code. */
export async function converseWith(checkpoint: string, options: ChatOptions): Promise<number> {
  const spoken = await openSpokenModel(checkpoint, options);
  const { model, path, tokenizer, tokenizerPath } = spoken;
  // A tokenizer from elsewhere may bring a template; else the model's own holds.
  const folders = [await folderOf(existsSync(tokenizerPath) ? tokenizerPath : path), await folderOf(path)];
  const templates = await Promise.all(folders.map((folder) => ChatTemplate.load(folder)));
  const template = templates.find((found) => found !== undefined) ?? null;
  const context = options.context ?? model.config.blockSize ?? defaultContext;
  // The conversation ends answers itself, at the context's end too.
  const limits = { maxSeqLen: context + options.maxNewTokens, eosTokenId: null };
  const { generator, backend } = await openGenerator(spoken, options, limits);
  const conversation = new Conversation({
    generator,
    tokenizer,
    template,
    system: options.system ?? null,
    stopIds: await stopIds(tokenizer, folders),
    context,
    now: new Date(),
  });
  note(`${path}: ${backend.name}, a context of ${context} tokens. /help lists what else can be typed.`);
  if (!template)
    note(
      "This model has no chat template: it goes on from a plain transcript and may not answer as an assistant does.",
    );
  try {
    return await converse(conversation, context);
  } finally {
    generator.dispose();
    await backend.close();
  }
}

async function converse(conversation: Conversation, context: number): Promise<number> {
  const turns = new Turns({ input: process.stdin, output: process.stdout, prompt: "> ", note });
  const show = (piece: string): void => {
    process.stdout.write(process.stdout.isTTY ? printable(piece) : piece);
  };
  try {
    for (let line = await turns.next(); line !== null; line = await turns.next()) {
      const text = line.replace(/^\/(?=\/)/, "");
      if (text.trim() === "") continue;
      if (text === line && line.startsWith("/")) {
        if (["/exit", "/quit"].includes(line.trim())) return 0;
        command(line.trim(), conversation);
        continue;
      }
      try {
        const turn = await turns.during((signal) => conversation.answer(text, show, signal));
        process.stdout.write("\n");
        note(summary(turn, conversation.length, context));
      } catch (error) {
        // The conversation goes on without that message; what is no message for people is a bug.
        if (!(error instanceof CarambaError)) throw error;
        note(`${error.message}${error.remedy ? `\n${error.remedy}` : ""}`);
        if (!process.stdin.isTTY) return 1;
      }
    }
    if (process.stdin.isTTY) process.stdout.write("\n");
    return turns.interrupted ? interruptedCode : 0;
  } finally {
    turns.close();
  }
}

function command(line: string, conversation: Conversation): void {
  if (line === "/help") note(help);
  else if (line === "/reset") {
    conversation.reset();
    note("The conversation begins anew.");
  } else note(`${line} means nothing here. /help lists what does; //text sends /text.`);
}

function summary(turn: Turn, length: number, context: number): string {
  // The first new token comes with the prompt; the others take the time after it.
  const rate = turn.tokens > 1 ? `, ${((turn.tokens - 1) / turn.seconds).toFixed(1)} tokens/s` : "";
  const ends = {
    stop: "",
    length: "; cut at --max-new-tokens",
    context: "; the context is full: /reset begins anew",
    interrupted: "; stopped",
  };
  const prompt = `prompt ${turn.fed} in ${turn.prefillSeconds.toFixed(2)} s`;
  return `${turn.tokens} tokens${rate}; ${prompt}; context ${length} of ${context}${ends[turn.ended]}`;
}

/** Control characters of a model's answer, which could command the terminal, as U+FFFD. */
function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "\ufffd");
}

/** Something that is no answer: dim where that can be shown. */
function note(text: string): void {
  const dim = process.stderr.isTTY && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb";
  process.stderr.write(dim ? `\u001b[2m${text}\u001b[22m\n` : `${text}\n`);
}

async function folderOf(path: string): Promise<string> {
  return (await stat(path)).isDirectory() ? path : dirname(path);
}

const ends = ["<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end_of_text|>", "<|endoftext|>", "<end_of_turn>", "</s>"];

/** What ends an answer: the tokenizer's end, the usual ends of a turn, and those of generation_config.json. */
async function stopIds(tokenizer: Tokenizer, folders: readonly string[]): Promise<ReadonlySet<number>> {
  const ids = new Set(ends.flatMap((name) => tokenizer.special.get(name) ?? []));
  if (tokenizer.eosId !== undefined) ids.add(tokenizer.eosId);
  for (const folder of folders) {
    const path = join(folder, "generation_config.json");
    const config: unknown = existsSync(path) ? parse(await readTextFile(path, 1 << 20), path) : null;
    const given = config !== null && typeof config === "object" && "eos_token_id" in config ? config.eos_token_id : [];
    for (const id of Array.isArray(given) ? given : [given]) if (typeof id === "number") ids.add(id);
  }
  return ids;
}

function parse(text: string, path: string): unknown {
  try {
    return parseStrictJson(text);
  } catch (cause) {
    throw new CarambaError(`${path} is not JSON: ${(cause as Error).message}`, {
      code: "generation-config",
      remedy: "fetch the file again, or delete it",
      cause,
    });
  }
}
