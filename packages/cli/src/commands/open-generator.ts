// What generating and conversing have in common: a checkpoint, its tokenizer, and an engine set up to sample from it.
import { loadTokenizer, type Tokenizer } from "@caramba/data";
import { locateTokenizer, openModel } from "@caramba/experiment";
import { Generator } from "@caramba/infer";
import { displayOn } from "@caramba/instrumentation";
import { openCheckpoint } from "@caramba/loader";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError, openBackend } from "@caramba/tensor";
import { narrate } from "../narrate.ts";

/** Options of every command that samples from a model. */
export interface SamplingOptions {
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed: number;
  readonly cache: "fp16" | "fp32";
  readonly tokenizer?: string;
  readonly device?: string;
}

/** A model with the tokenizer that belongs to it. */
export interface SpokenModel {
  readonly model: Model;
  /** The checkpoint, or the folder that was downloaded. */
  readonly path: string;
  readonly tokenizer: Tokenizer;
  readonly tokenizerPath: string;
}

/** Opens a checkpoint, a Hugging Face folder or hf://org/name, with the tokenizer that `options` or the checkpoint names. */
export async function openSpokenModel(checkpoint: string, options: SamplingOptions): Promise<SpokenModel> {
  const display = displayOn(process.stderr);
  const onEvent = narrate(display);
  const { model, path } = await openModel(checkpoint, null, { onEvent });
  const { spec: tokenizerPath } = await locateTokenizer(options.tokenizer ?? (await tokenizerOf(path)), null, {
    onEvent,
  });
  display.idle();
  const tokenizer = await loadTokenizer(tokenizerPath);
  if (tokenizer.vocabSize > (model.vocabSize ?? 0))
    throw new CarambaError(`the tokenizer has ${tokenizer.vocabSize} ids, the model ${model.vocabSize}`, {
      code: "tokenizer",
      remedy: "give the tokenizer that the model was trained with: --tokenizer <path>",
    });
  return { model, path, tokenizer, tokenizerPath };
}

/** A generator on the device that `options` names; the caller disposes of it and closes the backend. */
export async function openGenerator(
  { model, tokenizer }: SpokenModel,
  options: SamplingOptions,
  limits: { readonly maxSeqLen: number; readonly eosTokenId: number | null },
): Promise<{ generator: Generator; backend: Backend }> {
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
      cacheKind: options.cache,
      ...limits,
    },
  });
  return { generator, backend };
}

/** The tokenizer that belongs to a checkpoint or folder. */
async function tokenizerOf(path: string): Promise<string> {
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
