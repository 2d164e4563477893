// Perplexity: exp of the mean loss per token on text that the model has not seen. Losses come from WindowScorer, as in
// training's validation and in verification.
import { type PerplexityBenchmarkConfig, perplexityBenchmarkConfig } from "@caramba/config";
import { openTokens, readWindows, type TokenSource, type TokenSplit } from "@caramba/data";
import { meanAndError, tQuantile, WindowScorer } from "@caramba/eval";
import type { Model } from "@caramba/model";
import { type Backend, CarambaError } from "@caramba/tensor";
import { BaseBenchmark, type BenchmarkResult, checkRepeats, type Device, withBackend } from "./base-benchmark.ts";
import type { PerplexityRow } from "./rows.ts";
import { deviation } from "./statistics.ts";
import { chooseWindows, rangeOf, type TextPart } from "./text-windows.ts";

/** What to measure on. Give `datasetPath` or `tokens`. */
export interface PerplexityBenchmarkOptions {
  /** Token file (.npy, .tokens, .txt). */
  readonly datasetPath?: string;
  /** Tokens that are already open; they are left open. */
  readonly tokens?: TokenSource;
  /** Training and held-out parts of the tokens; default: one part, not trained on. */
  readonly parts?: TokenSplit;
  /** Part to measure; default `auto`: the held-out one, all where there are no parts. */
  readonly split?: TextPart;
  /** Tokens per window; default 2048. */
  readonly blockSize?: number;
  /** Windows scored at once; changes speed only. Default 1. */
  readonly batchSize?: number;
  /** Batches per repeat; null: all windows. Default 100. */
  readonly numBatches?: number | null;
  /** Tokens between windows; default blockSize. See `chooseWindows`. */
  readonly stride?: number | null;
  /** Ids from here on are padding of the table; default none. */
  readonly validVocabSize?: number | null;
  /** Repeats use windows of their own; the result pools them. Default 1. */
  readonly repeats?: number;
  /** Name in rows; default `perplexity`. */
  readonly benchmarkId?: string;
}

/** A perplexity with all that it rests on. */
export interface PerplexityResult extends BenchmarkResult, Omit<PerplexityRow, "crossEntropy" | "benchmark"> {
  readonly loss: number;
  /** Loss sum of each window over its scored tokens, nats: the same windows for every model. */
  readonly windowSums: Float64Array;
  /** Scored tokens of each window. */
  readonly tokensPerWindow: number;
  /** Mean loss of each repeat. */
  readonly repeatLosses: readonly number[];
  readonly warnings: readonly string[];
}

const CONFIDENCE = 0.95;

/** Measures perplexity on non-overlapping windows, spread over the held-out part. */
export class PerplexityBenchmark extends BaseBenchmark<PerplexityResult> {
  readonly #options: PerplexityBenchmarkOptions;
  readonly #config: PerplexityBenchmarkConfig;

  /** Errors: ConfigError for options that are not valid; CarambaError `dataset` unless one of datasetPath and tokens is given. */
  constructor(options: PerplexityBenchmarkOptions) {
    super();
    if ((options.datasetPath === undefined) === (options.tokens === undefined))
      throw new CarambaError("the perplexity benchmark needs text", {
        code: "dataset",
        remedy: "give datasetPath (a token file) or tokens, one of the two",
      });
    const { datasetPath, tokens, parts, repeats, benchmarkId, ...config } = options;
    this.#config = perplexityBenchmarkConfig(config);
    this.#options = options;
    checkRepeats(repeats);
  }

  /** Errors: CarambaError `too-short`, `token-id`, `split`, `nan`, and those of `openTokens`. */
  async run(model: Model, device?: Device, modelName = "model"): Promise<PerplexityResult> {
    const { datasetPath, tokens } = this.#options;
    const source = tokens ?? openTokens(datasetPath as string);
    try {
      return await withBackend(device, [model], (backend) => this.#measure(model, backend, source, modelName));
    } finally {
      if (!tokens) source.close();
    }
  }

  async #measure(model: Model, backend: Backend, source: TokenSource, name: string): Promise<PerplexityResult> {
    const { split, blockSize, numBatches, stride, validVocabSize } = this.#config;
    const { parts, repeats = 1, benchmarkId = "perplexity" } = this.#options;
    const wanted = numBatches === null ? null : numBatches * this.#config.batchSize * repeats;
    const range = rangeOf(split, source, parts);
    const { starts, scored, warning } = chooseWindows({ source, range, blockSize, count: wanted, stride });
    const batchSize = Math.min(this.#config.batchSize, starts.length);
    const scorer = await WindowScorer.open(model, { backend, batchSize, blockSize, validVocabSize });
    const windowSums = new Float64Array(starts.length);
    try {
      for (let first = 0; first < starts.length; first += batchSize) {
        const batch = starts.slice(first, first + batchSize);
        const vocabSize = validVocabSize ?? (model.vocabSize as number);
        const { tokens, targets } = readWindows(source, batch, blockSize, vocabSize);
        const losses = await scorer.score(tokens, targets);
        batch.forEach((_, row) => {
          const end = (row + 1) * blockSize;
          windowSums[first + row] = losses.subarray(end - scored, end).reduce((a, b) => a + b, 0);
        });
      }
    } finally {
      scorer.dispose();
    }
    const result = summarise(windowSums, scored, repeats);
    if (!Number.isFinite(result.loss))
      throw new CarambaError(`the loss of ${name} is ${result.loss}`, {
        code: "nan",
        remedy: "check the checkpoint; training may have diverged",
      });
    const { perplexity, loss, stdErr, ciLow, ciHigh } = result;
    const numTokens = starts.length * scored;
    const known = { stdErr, ciLow, ciHigh };
    const spread = Object.fromEntries(Object.entries(known).filter((e): e is [string, number] => e[1] !== null));
    return {
      ...result,
      benchmarkId,
      metrics: { perplexity, loss, numTokens, ...spread },
      model: name,
      numBatches: Math.ceil(starts.length / batchSize),
      numTokens,
      blockSize,
      windowSums,
      tokensPerWindow: scored,
      warnings: warning ? [warning] : [],
    };
  }
}

function summarise(sums: Float64Array, scored: number, repeats: number) {
  const losses = Array.from(sums, (sum) => sum / scored);
  const { mean: loss, stdErr } = meanAndError(losses);
  const half = losses.length < 2 ? null : tQuantile(CONFIDENCE, losses.length - 1) * stdErr;
  // Neighbouring windows go to different repeats, so that each repeat spreads over the text.
  const repeatLosses = Array.from({ length: Math.min(repeats, losses.length) }, (_, repeat) => {
    const own = losses.filter((_, i) => i % repeats === repeat);
    return own.reduce((a, b) => a + b, 0) / own.length;
  });
  return {
    loss,
    perplexity: Math.exp(loss),
    stdErr: half === null ? null : stdErr,
    ciLow: half === null ? null : Math.exp(loss - half),
    ciHigh: half === null ? null : Math.exp(loss + half),
    repeatLosses,
    repeatStd: deviation(repeatLosses),
  };
}

/** The row of a result. */
export function perplexityRow(result: PerplexityResult): PerplexityRow {
  const { model, perplexity, loss, numBatches, numTokens, blockSize, stdErr, ciLow, ciHigh, repeatStd } = result;
  return {
    model,
    perplexity,
    crossEntropy: loss,
    numBatches,
    numTokens,
    blockSize,
    stdErr,
    ciLow,
    ciHigh,
    repeatStd,
    benchmark: result.benchmarkId,
  };
}
