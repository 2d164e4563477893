// caramba generate: text from a checkpoint, streamed as it is sampled.
import { text as readText } from "node:stream/consumers";
import { loadTokenizer } from "@caramba/data";
import { openModel } from "@caramba/experiment";
import { Generator } from "@caramba/infer";
import { displayOn } from "@caramba/instrumentation";
import { openCheckpoint } from "@caramba/loader";
import { CarambaError, openBackend } from "@caramba/tensor";
import { printJson } from "../json-output.ts";
import { narrate } from "../narrate.ts";

/** Options of `caramba generate`. */
export interface GenerateOptions {
  readonly prompt?: string;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed: number;
  readonly cache: "fp16" | "fp32";
  readonly tokenizer?: string;
  readonly device?: string;
  readonly json?: boolean;
}

/** Generates and prints. Returns the exit code. */
export async function generateText(checkpoint: string, options: GenerateOptions): Promise<number> {
  const display = displayOn(process.stderr);
  const { model, path } = await openModel(checkpoint, null, { onEvent: narrate(display) });
  display.idle();
  const tokenizer = await loadTokenizer(options.tokenizer ?? (await tokenizerOf(path)));
  const prompt = options.prompt ?? (process.stdin.isTTY ? "" : await readText(process.stdin));
  // With what the model's own tokenizer puts before a text, such as Llama's begin-of-text.
  const encoded = Array.from(tokenizer.encode(prompt, { special: false, addSpecial: true }));
  const ids = encoded.length === 0 ? [tokenizer.eosId ?? 0] : encoded;
  if (tokenizer.vocabSize > (model.vocabSize ?? 0))
    throw new CarambaError(`the tokenizer has ${tokenizer.vocabSize} ids, the model ${model.vocabSize}`, {
      code: "tokenizer",
      remedy: "give the tokenizer that the model was trained with: --tokenizer <path>",
    });
  const backend = await openBackend(options.device ?? "auto");
  const generator = await Generator.open(model, {
    backend,
    seed: options.seed,
    validVocabSize: tokenizer.vocabSize,
    config: {
      maxNewTokens: options.maxNewTokens,
      temperature: options.temperature,
      topK: options.topK ?? null,
      topP: options.topP ?? null,
      eosTokenId: tokenizer.eosId ?? null,
      maxSeqLen: ids.length + options.maxNewTokens,
      cacheKind: options.cache,
    },
  });
  const decoder = tokenizer.decoder();
  let completion = "";
  const show = (text: string): void => {
    completion += text;
    if (!options.json) process.stdout.write(text);
  };
  if (!options.json) process.stdout.write(prompt);
  const start = performance.now();
  let count = 0;
  for await (const [token] of generator.stream([ids])) {
    if (token === null || token === undefined || token === tokenizer.eosId) continue;
    show(decoder.push(token));
    count++;
  }
  show(decoder.end());
  const seconds = (performance.now() - start) / 1000;
  if (options.json)
    printJson({ ok: true, checkpoint, prompt, completion, tokens: count, tokensPerSecond: count / seconds });
  else process.stdout.write("\n");
  process.stderr.write(`${count} tokens, ${(count / seconds).toFixed(1)} tokens/s with prefill, ${backend.name}\n`);
  generator.dispose();
  await backend.close();
  return 0;
}

/** The tokenizer that belongs to a checkpoint or folder. */
export async function tokenizerOf(path: string): Promise<string> {
  if (!path.endsWith(".safetensors")) return path;
  const opened = await openCheckpoint(path);
  await opened.close();
  const { tokenizer } = opened.state;
  if (typeof tokenizer === "string") return tokenizer;
  throw new CarambaError(`${path} names no tokenizer`, {
    code: "tokenizer",
    remedy: "give it: --tokenizer <path of tokenizer.json>",
  });
}
