// One timed request: a prompt goes in, tokens come out greedily. The first token exists when prefill is done, so a
// request for n tokens is one prefill and n - 1 decode steps.
import { Decoder } from "@caramba/infer";
import type { Model } from "@caramba/model";
import { type Backend, compile, input, type Program, reshape, sym } from "@caramba/tensor";

/** What is timed: something that takes the next tokens of all sequences and gives logits [B * V] after the last. */
export interface TimedModel {
  feed(tokens: Int32Array): Promise<Float32Array>;
  /** Forgets what was fed. */
  reset(): void;
  dispose(): void;
}

/** How a TimedModel is opened. */
export interface TimedModelOptions {
  readonly backend: Backend;
  readonly batchSize: number;
  /** Positions that will be needed; allocated now, so that no run pays for growth. */
  readonly maxSeqLen: number;
  /** null: no cache, every step computes the whole sequence anew. */
  readonly storage: "fp32" | "fp16" | null;
}

/** Opens a model for timing. */
export async function openTimedModel(model: Model, options: TimedModelOptions): Promise<TimedModel> {
  const { storage, ...rest } = options;
  if (storage === null) return Uncached.open(model, options);
  const decoder = await Decoder.open(model, { ...rest, storage });
  decoder.cache.reserve(options.maxSeqLen);
  await decoder.warm();
  return decoder;
}

/** Keeps the tokens instead of a cache. */
class Uncached implements TimedModel {
  readonly #program: Program;
  readonly #backend: Backend;
  #rows: number[][];

  private constructor(program: Program, backend: Backend, batchSize: number) {
    this.#program = program;
    this.#backend = backend;
    this.#rows = Array.from({ length: batchSize }, () => []);
  }

  static async open(model: Model, { backend, batchSize }: TimedModelOptions): Promise<Uncached> {
    const t = sym("T");
    const logits = model.forward(input("tokens", [batchSize, t], "int32"), { lastOnly: true });
    const flat = reshape(logits, [batchSize, logits.shape[2] as number]);
    return new Uncached(await compile({ outputs: { logits: flat } }, { backend }), backend, batchSize);
  }

  async feed(tokens: Int32Array): Promise<Float32Array> {
    const fresh = tokens.length / this.#rows.length;
    this.#rows = this.#rows.map((row, i) => [...row, ...tokens.subarray(i * fresh, (i + 1) * fresh)]);
    const length = (this.#rows[0] as number[]).length;
    const values = await this.#program.run({
      tokens: { data: Int32Array.from(this.#rows.flat()), shape: [this.#rows.length, length] },
    });
    const [buffer] = Object.values(values);
    if (!buffer) return new Float32Array(0);
    const logits = (await this.#backend.read(buffer)) as Float32Array;
    this.#backend.dispose(buffer);
    return logits;
  }

  reset(): void {
    this.#rows = this.#rows.map(() => []);
  }

  dispose(): void {
    this.#program.dispose();
  }
}

/** Times of one request, ms. */
export interface RequestTimes {
  readonly prefillMs: number;
  /** One per token after the first. */
  readonly stepMs: readonly number[];
  readonly totalMs: number;
}

/** A request. */
export interface Request {
  /** [B * promptLen], row by row. */
  readonly prompt: Int32Array;
  readonly genLen: number;
  readonly batchSize: number;
  /** Ids that may be generated. */
  readonly vocabSize: number;
}

function greedy(logits: Float32Array, { batchSize, vocabSize }: Request): Int32Array {
  const width = logits.length / batchSize;
  return Int32Array.from({ length: batchSize }, (_, row) => {
    const own = logits.subarray(row * width, row * width + vocabSize);
    let best = 0;
    for (let i = 1; i < own.length; i++) if ((own[i] as number) > (own[best] as number)) best = i;
    return best;
  });
}

/** Runs a request from an empty context. Each time ends with the logits in host memory and the next token chosen. */
export async function timeRequest(model: TimedModel, request: Request, now: () => number): Promise<RequestTimes> {
  model.reset();
  const start = now();
  let tokens = greedy(await model.feed(request.prompt), request);
  const first = now();
  const stepMs: number[] = [];
  let before = first;
  for (let step = 1; step < request.genLen; step++) {
    tokens = greedy(await model.feed(tokens), request);
    const after = now();
    stepMs.push(after - before);
    before = after;
  }
  return { prefillMs: first - start, stepMs, totalMs: before - start };
}
