// A look at a model in seconds: perplexity on a few short windows, and cache bytes.
import { kvBytesPerToken, type Model } from "@caramba/model";
import { BaseBenchmark, type BenchmarkResult, type Device } from "./base-benchmark.ts";
import { PerplexityBenchmark, type PerplexityBenchmarkOptions } from "./perplexity.ts";

/** What QuickBenchmark finds. */
export interface QuickResult extends BenchmarkResult {
  readonly perplexity: number;
  readonly loss: number;
  /** K and V, all layers, fp16. */
  readonly kvBytesPerToken: number;
}

/** Perplexity on 10 windows of 512 tokens (unless set otherwise) and cache bytes per token. */
export class QuickBenchmark extends BaseBenchmark<QuickResult> {
  readonly #perplexity: PerplexityBenchmark;

  constructor(options: PerplexityBenchmarkOptions) {
    super();
    this.#perplexity = new PerplexityBenchmark({ blockSize: 512, numBatches: 10, ...options });
  }

  async run(model: Model, device?: Device, modelName = "model"): Promise<QuickResult> {
    const { perplexity, loss, warnings } = await this.#perplexity.run(model, device, modelName);
    const bytes = kvBytesPerToken(model, "fp16");
    const metrics = { perplexity, loss, kvBytesPerToken: bytes };
    return { benchmarkId: "quick", metrics, perplexity, loss, kvBytesPerToken: bytes, warnings };
  }
}
