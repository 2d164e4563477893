// caramba prepare: text to a token file, with a tokenizer trained on it where none is given.

import { mkdir } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { collectText, loadTokenizer, prepareTokens, trainBpe } from "@caramba/data";
import { CarambaError } from "@caramba/tensor";

/** Options of `caramba prepare`. */
export interface PrepareOptions {
  readonly input: readonly string[];
  readonly output: string;
  readonly tokenizer?: string;
  readonly vocabSize: number;
  readonly maxBytes?: number;
}

/** Prepares text. Returns the exit code. */
export async function prepare(options: PrepareOptions): Promise<number> {
  if (extname(options.output) !== ".npy")
    throw new CarambaError(`the output ${options.output} must end in .npy`, {
      code: "output",
      remedy: `call it ${options.output}.npy`,
    });
  const corpus = await collectText({
    inputs: [...options.input],
    ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
  });
  await mkdir(dirname(options.output), { recursive: true });
  const path = options.tokenizer ?? join(dirname(options.output), "tokenizer.json");
  if (options.tokenizer === undefined) {
    const texts: string[] = [];
    for await (const document of corpus.documents()) texts.push(document.text);
    await (await trainBpe(texts, { vocabSize: options.vocabSize })).save(path);
  }
  const tokenizer = await loadTokenizer(path);
  const result = await prepareTokens({ documents: corpus, tokenizer, output: options.output });
  process.stdout.write(
    `${result.path}: ${result.tokens} tokens of ${result.documents} documents, tokenizer ${path} (vocabulary ${tokenizer.vocabSize})${result.reused ? ", unchanged" : ""}\n`,
  );
  return 0;
}
