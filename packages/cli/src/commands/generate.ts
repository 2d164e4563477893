// caramba generate: text from a checkpoint, streamed as it is sampled.
import { text as readText } from "node:stream/consumers";
import { printJson } from "../json-output.ts";
import { openGenerator, openSpokenModel, type SamplingOptions } from "./open-generator.ts";

/** Options of `caramba generate`. */
export interface GenerateOptions extends SamplingOptions {
  readonly prompt?: string;
  readonly json?: boolean;
}

/** Generates and prints. Returns the exit code. */
export async function generateText(checkpoint: string, options: GenerateOptions): Promise<number> {
  const spoken = await openSpokenModel(checkpoint, options);
  const { tokenizer } = spoken;
  const prompt = options.prompt ?? (process.stdin.isTTY ? "" : await readText(process.stdin));
  // With what the model's own tokenizer puts before a text, such as Llama's begin-of-text.
  const encoded = Array.from(tokenizer.encode(prompt, { special: false, addSpecial: true }));
  const ids = encoded.length === 0 ? [tokenizer.eosId ?? 0] : encoded;
  const { generator, backend } = await openGenerator(spoken, options, {
    maxSeqLen: ids.length + options.maxNewTokens,
    eosTokenId: tokenizer.eosId ?? null,
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
