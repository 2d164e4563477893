// A Decoder feeds tokens to a model and keeps its cache: prefill, then one token at a time, with rollback. It knows
// nothing of sampling. Weights are the model's own buffers, so a model can be trained and decoded without copies.
//
// Rows of attention can be cut off anywhere; the state of a recurrent layer is known only before and after the last
// piece. Rolling back further goes to the nearest length where it is known, and what lies between is fed once more with
// the next tokens: right in any case, free where the last piece alone is taken back.
import { ModelCache } from "@caramba/kvcache";
import { AttentionLayer } from "@caramba/layers";
import { type Model, modelMemory } from "@caramba/model";
import { type Backend, CarambaError, type DeviceBuffer, defaultBackend } from "@caramba/tensor";
import type { DecodePlan } from "./decode-plan.ts";
import { compileStep, type StepKind, type StepProgram } from "./step-graph.ts";

/** Most tokens per sequence that one session takes in, unless `qChunk` says less. */
const longestPiece = 512;

/** How a Decoder is set up. */
export interface DecoderOptions {
  /** Default: the default backend. */
  readonly backend?: Backend;
  /** Sequences decoded side by side, all of one length; default 1. */
  readonly batchSize?: number;
  /** Most positions of a sequence; default 2048. */
  readonly maxSeqLen?: number;
  /** Storage of cached keys and values; default fp16. */
  readonly storage?: "fp32" | "fp16";
  /**
   * Most tokens of a prompt that are scored at once, at most 512; null: 512. Beats the q_chunk of the attention layers,
   * of which by default the smallest counts. Results do not depend on it.
   */
  readonly qChunk?: number | null;
  /** Beats the local_window of the attention layers; null: they see everything. Default: each its own. */
  readonly localWindow?: number | null;
  /** Pieces and window by the length of the context, which beat the two above where it names them. */
  readonly plan?: DecodePlan;
}

/** Cached inference of one model. */
export class Decoder {
  readonly model: Model;
  readonly backend: Backend;
  readonly batchSize: number;
  readonly vocabSize: number;
  readonly cache: ModelCache;
  readonly #storage: "fp32" | "fp16";
  readonly #pieceLength: number;
  readonly #localWindow: number | null | undefined;
  readonly #plan: DecodePlan;
  /** By kind and window. */
  readonly #steps = new Map<string, StepProgram>();
  /** Tokens of each sequence so far, kept where states are; those after the cache's length are to be fed again. */
  #fed: number[][] = [];
  #again = 0;
  /** Outputs of a decode step, which has fixed shapes: written over and over. */
  #decodeInto: Record<string, DeviceBuffer> | undefined;

  private constructor(model: Model, backend: Backend, options: DecoderOptions) {
    const { vocabSize } = model;
    if (vocabSize === null)
      throw new CarambaError("a model without token embedder cannot generate text", {
        code: "model",
        remedy: "give the model an embedder of type token",
      });
    this.model = model;
    this.backend = backend;
    this.vocabSize = vocabSize;
    this.batchSize = options.batchSize ?? 1;
    this.#storage = options.storage ?? "fp16";
    const memory = modelMemory(model, { continued: true });
    const own = memory.rows.flatMap(({ layer }) =>
      layer instanceof AttentionLayer && layer.config.qChunk !== null ? [layer.config.qChunk] : [],
    );
    const wanted = options.qChunk === undefined ? Math.min(longestPiece, ...own) : (options.qChunk ?? longestPiece);
    this.#pieceLength = Math.min(longestPiece, positive("qChunk", wanted));
    this.#localWindow =
      options.localWindow == null ? options.localWindow : positive("localWindow", options.localWindow);
    this.#plan = options.plan ?? (() => ({}));
    const layers = memory.rows.map(({ layer }) => layer.cacheParts);
    this.cache = new ModelCache(layers, {
      states: memory.states.map(({ layer }) => layer.stateParts),
      backend,
      batchSize: this.batchSize,
      maxLength: options.maxSeqLen ?? 2048,
      storage: this.#storage,
    });
  }

  /** Opens a decoder on a backend. */
  static async open(model: Model, options: DecoderOptions = {}): Promise<Decoder> {
    return new Decoder(model, options.backend ?? (await defaultBackend()), options);
  }

  /** Positions fed and not forgotten. */
  get length(): number {
    return this.cache.length + this.#again;
  }

  /**
   * Feeds the same number of tokens to every sequence and returns logits after the last: tokens [B * T] row by row ->
   * [B * V]. Continues after what is cached. A long prompt is fed in pieces of `qChunk` tokens, so that memory
   * for scores grows with the context and not with its square.
   */
  async feed(tokens: Int32Array): Promise<Float32Array> {
    const t = tokens.length / this.batchSize;
    if (!Number.isInteger(t) || t < 1)
      throw new CarambaError(`${tokens.length} tokens do not fill ${this.batchSize} sequences`, {
        code: "prompt",
        remedy: "give each sequence the same number of tokens, at least one",
      });
    for (const id of tokens)
      if (id < 0 || id >= this.vocabSize)
        throw new CarambaError(`token id ${id} is outside the vocabulary of ${this.vocabSize}`, {
          code: "token-id",
          remedy: "encode the prompt with the model's own tokenizer",
        });
    this.cache.reserve(this.length + t);
    const start = this.cache.length;
    const rows = Array.from({ length: this.batchSize }, (_, row) => tokens.subarray(row * t, (row + 1) * t));
    const all = this.#again === 0 ? rows : rows.map((row, i) => [...(this.#fed[i] ?? []).slice(start), ...row]);
    const length = t + this.#again;
    let logits = new Float32Array();
    for (let from = 0, to = 0; from < length; from = to) {
      const { qChunk = this.#pieceLength, until = Infinity } = this.#plan(start + from);
      to = Math.min(
        length,
        from + Math.min(positive("qChunk", qChunk), longestPiece),
        Math.max(until - start, from + 1),
      );
      const piece = new Int32Array(this.batchSize * (to - from));
      all.forEach((row, i) => {
        piece.set(row.slice(from, to), i * (to - from));
      });
      logits = await this.#feedPiece(piece, to - from);
      // Should a later piece fail, what is in the cache is not fed again.
      this.#remember(all, from, to);
    }
    return logits;
  }

  /** Notes pieces that are in the cache now, for a rollback that has to feed some of them again. */
  #remember(rows: readonly ArrayLike<number>[], from: number, to: number): void {
    if (this.cache.states.length === 0) return;
    const before = this.cache.length - (to - from);
    this.#fed = rows.map((row, i) => {
      const fed = this.#fed[i] ?? [];
      for (let at = from; at < to; at++) fed[before + at - from] = row[at] as number;
      return fed;
    });
    this.#again = Math.max(0, this.#again - (to - from));
  }

  /** One session's work: t tokens per sequence after what is cached. */
  async #feedPiece(tokens: Int32Array, t: number): Promise<Float32Array<ArrayBuffer>> {
    const start = this.cache.length;
    const kind: StepKind = start === 0 ? "prefill" : t === 1 ? "decode" : "append";
    const { program, inputs, past, fresh, statesBefore, statesAfter } = await this.#step(kind, start);
    const feeds: Record<string, DeviceBuffer | Int32Array | { data: Int32Array; shape: number[] }> = {
      tokens: { data: tokens, shape: [this.batchSize, t] },
    };
    if (inputs.has("positions")) feeds["positions"] = Int32Array.from({ length: t }, (_, i) => start + i);
    past.forEach((names, i) => {
      const parts = [...(this.cache.layers[i]?.values() ?? [])];
      names.forEach((name, j) => {
        const part = parts[j];
        if (part) feeds[name] = part.view();
      });
    });
    statesBefore.forEach((names, i) => {
      const parts = this.cache.states[i]?.view() ?? [];
      names.forEach((name, j) => {
        feeds[name] = parts[j] as DeviceBuffer;
      });
    });
    // States are written where the ones before the last piece were, so that those of this piece's start remain.
    const spare = this.cache.spareStates();
    const into: Record<string, DeviceBuffer> = kind === "decode" ? { ...this.#into(fresh) } : {};
    statesAfter.forEach((names, i) => {
      names.forEach((name, j) => {
        into[name] = spare[i]?.[j] as DeviceBuffer;
      });
    });
    const outputs = await program.run(feeds, { into });
    const made = (all: readonly (readonly string[])[]) =>
      all.map((names) => names.map((name) => outputs[name] as DeviceBuffer));
    this.cache.append(made(fresh), made(statesAfter), t);
    const logits = (await this.backend.read(outputs["logits"] as DeviceBuffer)) as Float32Array<ArrayBuffer>;
    for (const [name, buffer] of Object.entries(outputs)) if (!(name in into)) this.backend.dispose(buffer);
    return logits;
  }

  /** Compiles the sessions of prefill and decode now instead of at first use. */
  async warm(): Promise<void> {
    await this.#step("prefill", 0);
    await this.#step("decode", this.cache.length);
  }

  /** Forgets the last n positions. With recurrent layers, some of what is left may be fed again with the next tokens. */
  rollback(n: number): void {
    const length = this.length - n;
    if (!Number.isInteger(n) || n < 0 || length < 0)
      throw new CarambaError(`cannot roll ${this.length} positions back by ${n}`, {
        code: "cache",
        remedy: "roll back by at most the length",
      });
    this.cache.truncate(this.cache.keptLength(Math.min(length, this.cache.length)));
    this.#again = length - this.cache.length;
    for (const row of this.#fed) row.length = Math.min(row.length, length);
  }

  /** Forgets everything. */
  reset(): void {
    this.rollback(this.length);
  }

  /** Frees sessions and cache; the model's weights stay. */
  dispose(): void {
    for (const { program } of this.#steps.values()) program.dispose();
    this.#steps.clear();
    this.cache.dispose();
    for (const buffer of Object.values(this.#decodeInto ?? {})) this.backend.dispose(buffer);
    this.#decodeInto = undefined;
  }

  #into(fresh: readonly (readonly string[])[]): Record<string, DeviceBuffer> {
    if (!this.#decodeInto) {
      const into: Record<string, DeviceBuffer> = {
        logits: this.backend.alloc([this.batchSize, this.vocabSize], "float32"),
      };
      fresh.forEach((names, i) => {
        const parts = [...(this.cache.layers[i]?.values() ?? [])];
        names.forEach((name, j) => {
          const part = parts[j];
          if (part) into[name] = this.backend.alloc([1, part.heads, part.width], part.dtype);
        });
      });
      this.#decodeInto = into;
    }
    return this.#decodeInto;
  }

  /** The session for tokens from a position on. */
  async #step(kind: StepKind, position: number): Promise<StepProgram> {
    const { localWindow = this.#localWindow } = this.#plan(position);
    const key = `${kind} ${localWindow}`;
    let step = this.#steps.get(key);
    if (!step) {
      step = await compileStep(this.model, kind, {
        backend: this.backend,
        batchSize: this.batchSize,
        storage: this.#storage,
        localWindow: localWindow == null ? localWindow : positive("localWindow", localWindow),
      });
      this.#steps.set(key, step);
    }
    return step;
  }
}

function positive(name: string, value: number): number {
  if (Number.isInteger(value) && value > 0) return value;
  throw new CarambaError(`${name} is ${value}`, {
    code: "argument",
    remedy: "give a whole number of tokens, at least one",
  });
}
