// Scores windows of text: the negative log-likelihood of every target token. All perplexities come from here, of
// training's validation, of verification and of the benchmark, so that they mean the same.
import type { Model } from "@caramba/model";
import {
  type Backend,
  CarambaError,
  compile,
  crossEntropy,
  input,
  type Program,
  reshape,
  slice,
} from "@caramba/tensor";

/** Fixed sizes of a scorer. */
export interface WindowScorerOptions {
  readonly backend: Backend;
  /** Windows scored at once (B). */
  readonly batchSize: number;
  /** Tokens per window (T). */
  readonly blockSize: number;
  /** Ids from here on are padding of the table and get no probability; default none. */
  readonly validVocabSize?: number | null;
}

/** Per-token losses of a model on windows of one size. */
export class WindowScorer {
  readonly batchSize: number;
  readonly blockSize: number;
  readonly #program: Program;
  readonly #backend: Backend;

  private constructor(program: Program, options: WindowScorerOptions) {
    this.#program = program;
    this.#backend = options.backend;
    this.batchSize = options.batchSize;
    this.blockSize = options.blockSize;
  }

  static async open(model: Model, options: WindowScorerOptions): Promise<WindowScorer> {
    const { backend, batchSize, blockSize } = options;
    const tokens = input("tokens", [batchSize, blockSize], "int32");
    const targets = input("targets", [batchSize * blockSize], "int32");
    const all = model.forward(tokens);
    const width = all.shape[2] as number;
    const valid = options.validVocabSize ?? width;
    if (valid < 1 || valid > width)
      throw new CarambaError(`valid_vocab_size is ${valid}, but the model has ${width} ids`, {
        code: "vocab",
        remedy: `use 1 to ${width}`,
      });
    const logits = valid < width ? slice(all, 2, 0, valid) : all;
    const rows = reshape(logits, [batchSize * blockSize, valid]);
    return new WindowScorer(await compile({ outputs: { nll: crossEntropy(rows, targets) } }, { backend }), options);
  }

  /**
   * Losses in nats of tokens and targets int32 [B * T], row-major: float32 [B * T]. Fewer windows than B are allowed:
   * the rest is filled up and left out of the result.
   */
  async score(tokens: Int32Array, targets: Int32Array): Promise<Float32Array> {
    const full = this.batchSize * this.blockSize;
    if (tokens.length !== targets.length || tokens.length > full || tokens.length % this.blockSize !== 0)
      throw new CarambaError(`${tokens.length} tokens are not 1 to ${this.batchSize} windows of ${this.blockSize}`, {
        code: "shape",
      });
    const fill = (values: Int32Array) => {
      const out = new Int32Array(full);
      out.set(values);
      return out;
    };
    const output = await this.#program.run({ tokens: fill(tokens), targets: fill(targets) });
    const buffer = output["nll"];
    if (!buffer) throw new CarambaError("the scorer returned nothing", { code: "internal" });
    const nll = (await this.#backend.read(buffer)) as Float32Array;
    this.#backend.dispose(buffer);
    return nll.subarray(0, tokens.length);
  }

  /** Loss sums of many windows, one number per window (nats), in order; windows are [n * T]. */
  async scoreWindows(tokens: Int32Array, targets: Int32Array): Promise<Float64Array> {
    const sums = new Float64Array(tokens.length / this.blockSize);
    const stride = this.batchSize * this.blockSize;
    for (let at = 0; at < tokens.length; at += stride) {
      const end = Math.min(tokens.length, at + stride);
      const nll = await this.score(tokens.subarray(at, end), targets.subarray(at, end));
      nll.forEach((v, i) => {
        const window = Math.floor((at + i) / this.blockSize);
        sums[window] = (sums[window] as number) + v;
      });
    }
    return sums;
  }

  dispose(): void {
    this.#program.dispose();
  }
}
