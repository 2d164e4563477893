// Text generation over a Decoder: prefill the prompt, then sample and feed until every sequence has ended. A Generator
// keeps its cache between calls, so that a conversation only feeds what is new; `generate` is the stateless form.
import { type GenerateConfig, type GenerateInput, generateConfig } from "@caramba/config";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError, Philox } from "@caramba/tensor";
import { type DecodePlan, decodePlan } from "./decode-plan.ts";
import { Decoder } from "./decoder.ts";
import { sampleToken } from "./sampling.ts";

/** How a Generator is opened. */
export interface GeneratorOptions {
  /** Defaults as in GenerateConfig. */
  readonly config?: GenerateInput;
  readonly backend?: Backend;
  /** Sequences side by side; default 1. */
  readonly batchSize?: number;
  /** Key of the random draws; default 0. */
  readonly seed?: number;
  /**
   * Pieces and windows by position, in place of the config's decode settings, which must be left out: it may also lift the
   * layers' own windows (`() => ({ localWindow: null })`).
   */
  readonly plan?: DecodePlan;
  /** Ids from here on are padding of the model's table and are never sampled; default none. */
  readonly validVocabSize?: number | null;
}

/** One position of all sequences as it is sampled; null for those that had ended. */
export type StreamedStep = readonly (number | null)[];

/** Settings that would change results or storage and are not built: naming one is an error, never ignored. */
const unbuilt = [
  "repetitionPenalty",
  "stopSequences",
  "useDiffusion",
  "diffusionGuidanceScale",
  "cachePolicy",
  "cacheResidualLen",
  "cacheFp16PrefixLayers",
  "cacheBudgetMb",
  "cacheAutoBenchmark",
  "cacheQualityMaxDeltaNll",
  "cacheQualityMaxPplRatio",
  "cacheQualityMaxMeanKl",
  "cachePlanPath",
  "cachePlanProbe",
] as const satisfies readonly (keyof GenerateConfig)[];

/** The plan that is given, or else the config's. */
function planOf(config: GenerateConfig, neutral: GenerateConfig, given: DecodePlan | undefined): DecodePlan {
  if (!given) return decodePlan(config);
  for (const key of Object.keys(neutral) as (keyof GenerateConfig)[])
    if (key.startsWith("decode") && config[key] !== neutral[key])
      throw new CarambaError(`generate: ${key} belongs to the config's decode plan, and another plan is given`, {
        code: "argument",
        remedy: `leave out ${key}, or the plan`,
      });
  return given;
}

const storageOf = (config: GenerateConfig): "fp32" | "fp16" => {
  if (config.cacheKind === "fp32" || config.cacheKind === "fp16") return config.cacheKind;
  throw new CarambaError(`cache kind ${config.cacheKind} is not supported yet`, {
    code: "unsupported",
    remedy: "use fp16 or fp32",
  });
};

/** Generates token ids, keeping its cache from call to call. */
export class Generator {
  readonly config: GenerateConfig;
  readonly decoder: Decoder;
  readonly #random: Philox;
  readonly #sampled: number;

  private constructor(config: GenerateConfig, decoder: Decoder, { seed = 0, validVocabSize }: GeneratorOptions) {
    this.config = config;
    this.decoder = decoder;
    this.#random = new Philox(seed);
    this.#sampled = Math.min(decoder.vocabSize, validVocabSize ?? decoder.vocabSize);
  }

  static async open(model: Model, options: GeneratorOptions = {}): Promise<Generator> {
    const config = generateConfig(options.config ?? {});
    const neutral = generateConfig({});
    for (const key of unbuilt)
      if (JSON.stringify(config[key]) !== JSON.stringify(neutral[key]))
        throw new CarambaError(`generate: ${key} is not supported yet`, {
          code: "unsupported",
          remedy: "leave it out",
        });
    const decoder = await Decoder.open(model, {
      ...(options.backend ? { backend: options.backend } : {}),
      batchSize: options.batchSize ?? 1,
      maxSeqLen: config.maxSeqLen,
      storage: storageOf(config),
      plan: planOf(config, neutral, options.plan),
    });
    return new Generator(config, decoder, options);
  }

  /**
   * Samples position after position. Prompts (all of one length, at least one token) are appended to what the cache
   * holds; the last sampled token is not fed, so the next call's prompt should begin with it.
   */
  async *stream(prompts: readonly ArrayLike<number>[]): AsyncGenerator<StreamedStep> {
    const { maxNewTokens, eosTokenId, maxSeqLen } = this.config;
    const { batchSize, vocabSize, length } = this.decoder;
    const [first] = prompts;
    if (prompts.length !== batchSize || !first || prompts.some((p) => p.length !== first.length))
      throw new CarambaError(
        `expected ${batchSize} prompts of one length, found ${prompts.map((p) => p.length).join()}`,
        {
          code: "prompt",
          remedy: "open the generator with batchSize set to the number of prompts and give prompts of equal length",
        },
      );
    if (length + first.length + maxNewTokens - 1 > maxSeqLen)
      throw new CarambaError(
        `${length + first.length} tokens of context and ${maxNewTokens} new ones do not fit max_seq_len ${maxSeqLen}`,
        { code: "cache-overflow", remedy: "raise max_seq_len or lower max_new_tokens" },
      );
    let logits = await this.decoder.feed(Int32Array.from(prompts.flatMap((p) => Array.from(p))));
    const ended = new Array<boolean>(batchSize).fill(false);
    for (let step = 0; step < maxNewTokens; step++) {
      const tokens = Int32Array.from({ length: batchSize }, (_, row) =>
        sampleToken(
          logits.subarray(row * vocabSize, row * vocabSize + this.#sampled),
          this.config,
          this.#random.uniform(),
        ),
      );
      yield Array.from(tokens, (token, row) => (ended[row] ? null : token));
      tokens.forEach((token, row) => {
        if (token === eosTokenId) ended[row] = true;
      });
      if (ended.every(Boolean) || step + 1 === maxNewTokens) return;
      logits = await this.decoder.feed(tokens);
    }
  }

  /** New tokens of each sequence, the end token included where one was reached. */
  async generate(prompts: readonly ArrayLike<number>[]): Promise<number[][]> {
    const out: number[][] = prompts.map(() => []);
    for await (const step of this.stream(prompts))
      step.forEach((token, row) => {
        if (token !== null) out[row]?.push(token);
      });
    return out;
  }

  /** Forgets the last n positions. */
  rollback(n: number): void {
    this.decoder.rollback(n);
  }

  /** Forgets the conversation. */
  reset(): void {
    this.decoder.reset();
  }

  dispose(): void {
    this.decoder.dispose();
  }
}

/** Generates once: opens a Generator, runs it, frees it. Returns the new tokens of each prompt. */
export async function generate(
  model: Model,
  prompts: readonly ArrayLike<number>[],
  options: Omit<GeneratorOptions, "batchSize"> = {},
): Promise<number[][]> {
  const generator = await Generator.open(model, { ...options, batchSize: prompts.length });
  try {
    return await generator.generate(prompts);
  } finally {
    generator.dispose();
  }
}
