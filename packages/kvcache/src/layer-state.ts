// The state of one recurrent layer on a backend: a few arrays of constant size per sequence, float32 whatever the cache's
// storage, because errors of a state stay in it. Every array exists twice: what a step reads and what it writes. After the
// step they change places, so the state before the last step is still there to go back to.
import { type Backend, bufferBytes, CarambaError, type DeviceBuffer } from "@caramba/tensor";

/** Copies of a state that are allocated. */
export const stateCopies = 2;

/** One part of a layer's state: its shape per sequence. */
export interface StatePartSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** State arrays of one layer, [B, ...shape] in part order. */
export class LayerState {
  readonly #backend: Backend;
  #now: DeviceBuffer[];
  #other: DeviceBuffer[];

  constructor(parts: readonly StatePartSpec[], backend: Backend, batchSize: number) {
    this.#backend = backend;
    const make = () => parts.map(({ shape }) => backend.alloc([batchSize, ...shape], "float32"));
    this.#now = make();
    this.#other = make();
  }

  /** Bytes allocated, both copies. */
  get bytes(): number {
    return [...this.#now, ...this.#other].reduce((sum, buffer) => sum + bufferBytes(buffer), 0);
  }

  /** What the next step reads, in part order; at the start of a sequence there is nothing to read, whatever it holds. */
  view(): readonly DeviceBuffer[] {
    return this.#now;
  }

  /** Where the next step may write; what was there is lost. */
  spare(): readonly DeviceBuffer[] {
    return this.#other;
  }

  /** Takes what a step made: the spare buffers themselves, or others of their shapes, which belong to the cache then. */
  accept(made: readonly DeviceBuffer[]): void {
    for (const spare of this.#other) if (!made.includes(spare)) this.#backend.dispose(spare);
    this.#other = [...made];
    this.swap();
  }

  /** Refuses what is not of this state's shapes, and buffers that are no second copy: what is read, or one for two parts. */
  check(made: readonly DeviceBuffer[]): void {
    const text = (buffers: readonly DeviceBuffer[]) =>
      buffers.map((b) => `${b.dtype}[${b.shape.join(", ")}]`).join(" ");
    if (text(made) !== text(this.#other))
      throw new CarambaError(`a layer's state is ${text(this.#other)}, given ${text(made) || "nothing"}`, {
        code: "shape",
        remedy: "hand over what the model's decode graph returned",
      });
    if (new Set([...this.#now, ...made]).size < 2 * made.length)
      throw new CarambaError("a new state is in a buffer that is read, or two parts are in one", {
        code: "shape",
        remedy: "write new states into spareStates() or into buffers of their own",
      });
  }

  /** Exchanges what is read with what was read before. */
  swap(): void {
    [this.#now, this.#other] = [this.#other, this.#now];
  }

  dispose(): void {
    for (const buffer of [...this.#now, ...this.#other]) this.#backend.dispose(buffer);
  }
}
