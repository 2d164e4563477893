// caramba prepare: text to a token file, with a tokenizer trained on it where none is given.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { collectText, loadTokenizer, prepareTokens, readTokenFileInfo, trainBpe } from "@caramba/data";
import { openTokenizer } from "@caramba/experiment";
import { displayOn } from "@caramba/instrumentation";
import { CarambaError } from "@caramba/tensor";
import { printJson } from "../json-output.ts";
import { narrate } from "../narrate.ts";

/** Options of `caramba prepare`. */
export interface PrepareOptions {
  readonly input: readonly string[];
  readonly output: string;
  readonly tokenizer?: string;
  readonly vocabSize: number;
  readonly maxBytes?: number;
  readonly json?: boolean;
}

/** Prepares text. Returns the exit code. */
export async function prepare(options: PrepareOptions): Promise<number> {
  if (extname(options.output) !== ".npy")
    throw new CarambaError(`the output ${options.output} must end in .npy`, {
      code: "output",
      remedy: `call it ${options.output}.npy`,
    });
  const path = options.tokenizer ?? join(dirname(options.output), "tokenizer.json");
  if (options.tokenizer === undefined) await demandOwn(path, options.output);
  const corpus = await collectText({
    inputs: [...options.input],
    ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
  });
  await mkdir(dirname(options.output), { recursive: true });
  if (options.tokenizer === undefined) {
    const texts: string[] = [];
    for await (const document of corpus.documents()) texts.push(document.text);
    await (await trainBpe(texts, { vocabSize: options.vocabSize })).save(path);
  }
  const display = displayOn(process.stderr);
  const tokenizer = await openTokenizer(path, null, { onEvent: narrate(display) });
  display.idle();
  const result = await prepareTokens({ documents: corpus, tokenizer, output: options.output });
  const { path: file, tokens, documents, reused } = result;
  if (options.json)
    printJson({ ok: true, file, tokens, documents, reused, tokenizer: path, vocabSize: tokenizer.vocabSize });
  else
    process.stdout.write(
      `${result.path}: ${result.tokens} tokens of ${result.documents} documents, tokenizer ${path} (vocabulary ${tokenizer.vocabSize})${result.reused ? ", unchanged" : ""}\n`,
    );
  return 0;
}

/** A tokenizer that other things may rest on is not replaced: only the one that this very token file was made with. */
async function demandOwn(path: string, output: string): Promise<void> {
  if (!existsSync(path)) return;
  const info = await readTokenFileInfo(output);
  if (info && info.tokenizer.hash === (await loadTokenizer(path)).hash) return;
  throw new CarambaError(`${path} is there already, and a tokenizer trained now would replace it`, {
    code: "tokenizer",
    remedy: `use it: --tokenizer ${path}; or delete it, or write ${basename(output)} into another folder`,
  });
}
