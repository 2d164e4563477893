// Training batches as a pure function of (seed, step), so that a run resumed at any step goes on byte-equal from the
// step number alone. An epoch cuts the range into windows side by side from a random offset (so that epochs cut
// elsewhere) and visits each window once in a random order; batches run on across the border of epochs.
import { Philox, streamOf } from "@caramba/tensor";
import { checkRoom, type TokenRange } from "./split.ts";
import { checkIds, type TokenSource } from "./token-source.ts";

/** Inputs and the tokens that follow them, row-major [B, T]. */
export interface TokenBatch {
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
}

export interface TokenBatchesOptions {
  readonly source: TokenSource;
  /** Default: all of the source. */
  readonly range?: TokenRange;
  /** T, tokens per row. */
  readonly blockSize: number;
  /** B, rows per batch. */
  readonly batchSize: number;
  readonly seed: number;
  /** Ids are checked against it as they are read. */
  readonly vocabSize: number;
  /** Default true. False reads the windows in order, from the start of the range. */
  readonly shuffle?: boolean;
}

/** Endless training batches. Errors: CarambaError `too-short` at once, `token-id` when a bad id is met. */
export class TokenBatches {
  readonly blockSize: number;
  readonly batchSize: number;
  /** Windows that each epoch visits; an epoch leaves out fewer than two windows' worth of tokens, other ones each time. */
  readonly windowsPerEpoch: number;
  readonly #source: TokenSource;
  readonly #range: TokenRange;
  readonly #seed: number;
  readonly #vocabSize: number;
  readonly #shuffle: boolean;
  readonly #maxOffset: number;
  // The two latest epochs: a batch may straddle their border.
  readonly #starts = new Map<number, { readonly offset: number; readonly order: Uint32Array | undefined }>();

  constructor(options: TokenBatchesOptions) {
    const { source, blockSize, batchSize } = options;
    const range = options.range ?? { start: 0, end: source.length };
    if (!Number.isSafeInteger(batchSize) || batchSize < 1) throw new RangeError(`batchSize ${batchSize}`);
    if (!Number.isSafeInteger(options.seed)) throw new RangeError(`seed ${options.seed}`);
    if (range.start < 0 || range.end > source.length) {
      throw new RangeError(`range ${range.start} to ${range.end} of ${source.length} tokens`);
    }
    checkRoom(range, blockSize, source.path);
    this.blockSize = blockSize;
    this.batchSize = batchSize;
    this.#source = source;
    this.#range = range;
    this.#seed = options.seed;
    this.#vocabSize = options.vocabSize;
    this.#shuffle = options.shuffle ?? true;
    // A window's inputs need blockSize tokens; one more is the last target.
    const usable = range.end - range.start - 1;
    const whole = Math.floor(usable / blockSize);
    // Leaves at least blockSize offsets to choose from; every token is in reach of some.
    this.windowsPerEpoch = this.#shuffle ? Math.max(1, Math.floor((usable - blockSize + 1) / blockSize)) : whole;
    this.#maxOffset = this.#shuffle ? usable - this.windowsPerEpoch * blockSize : 0;
  }

  /** The batch of a step (0, 1, 2, ...), the same whenever and in whatever order it is asked for. */
  batchAt(step: number): TokenBatch {
    if (!Number.isSafeInteger(step) || step < 0) throw new RangeError(`step ${step}`);
    const { batchSize, blockSize } = this;
    const tokens = new Int32Array(batchSize * blockSize);
    const targets = new Int32Array(batchSize * blockSize);
    for (let row = 0; row < batchSize; row++) {
      const start = this.windowStart(step * batchSize + row);
      const window = this.#source.read(start, start + blockSize + 1);
      checkIds(window, start, this.#source, this.#vocabSize);
      tokens.set(window.subarray(0, blockSize), row * blockSize);
      targets.set(window.subarray(1), row * blockSize);
    }
    return { tokens, targets };
  }

  /** Position in the source of the first token of the n-th window that training sees. */
  windowStart(n: number): number {
    const epoch = Math.floor(n / this.windowsPerEpoch);
    const index = n % this.windowsPerEpoch;
    const { offset, order } = this.#epoch(epoch);
    return this.#range.start + offset + (order === undefined ? index : (order[index] as number)) * this.blockSize;
  }

  #epoch(epoch: number): { readonly offset: number; readonly order: Uint32Array | undefined } {
    let known = this.#starts.get(epoch);
    if (known === undefined) {
      known = this.#shuffle ? this.#draw(epoch) : { offset: 0, order: undefined };
      const oldest = this.#starts.keys().next().value;
      if (this.#starts.size >= 2 && oldest !== undefined) this.#starts.delete(oldest);
      this.#starts.set(epoch, known);
    }
    return known;
  }

  #draw(epoch: number): { readonly offset: number; readonly order: Uint32Array } {
    const random = new Philox(this.#seed, streamOf(`data/epoch/${epoch}`));
    const offset = random.below(this.#maxOffset + 1);
    // Fisher-Yates, from the end.
    const order = Uint32Array.from({ length: this.windowsPerEpoch }, (_, index) => index);
    for (let i = order.length - 1; i > 0; i--) {
      const j = random.below(i + 1);
      const kept = order[i] as number;
      order[i] = order[j] as number;
      order[j] = kept;
    }
    return { offset, order };
  }
}
