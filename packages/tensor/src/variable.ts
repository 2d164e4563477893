// A Variable is a named value that outlives a graph: a weight, an optimizer state. It has one current value, which
// lives where it was last computed: in host memory until a backend asks for it, then in that backend's buffer.
import type { Backend, DeviceBuffer } from "./backend.ts";
import { shapeText } from "./dim.ts";
import { allocHost, type DType, type HostArray, isHostArrayOf } from "./dtype.ts";
import { CarambaError } from "./errors.ts";
import { Philox, streamOf } from "./random.ts";
import { type Tensor, variableLeaf } from "./tensor.ts";

/** Makes the initial values, row-major, when they are first needed; `random` depends on seed and name alone. */
export type Initializer = (shape: readonly number[], random: Philox) => HostArray;

/** What a Variable is made of. */
export interface VariableOptions {
  readonly dtype?: DType;
  /** Default: zeros. */
  readonly init?: Initializer;
  /** Whether training changes it; default true. */
  readonly trainable?: boolean;
  /** Whether weight decay acts on it; default: on matrices, not on vectors. */
  readonly decays?: boolean;
}

/** A named, mutable value that graphs read as a leaf. */
export class Variable {
  /** Name in messages, checkpoints and graphs: the path in the model's tree once it belongs to one. */
  name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  trainable: boolean;
  /** Whether weight decay acts on it. */
  readonly decays: boolean;
  /** Key of the initial values; a model sets it before they are first needed. Default 0. */
  seed = 0;
  /** The leaf that stands for this value in graphs. */
  readonly tensor: Tensor;
  #init: Initializer;
  #host: HostArray | undefined;
  #device: { readonly backend: Backend; readonly buffer: DeviceBuffer } | undefined;
  #spare: { readonly backend: Backend; readonly buffer: DeviceBuffer } | undefined;

  constructor(name: string, shape: readonly number[], options: VariableOptions = {}) {
    this.name = name;
    this.shape = [...shape];
    this.dtype = options.dtype ?? "float32";
    this.trainable = options.trainable ?? true;
    this.decays = options.decays ?? shape.length > 1;
    this.#init =
      options.init ??
      ((s) =>
        allocHost(
          this.dtype,
          s.reduce((a, b) => a * b, 1),
        ));
    this.tensor = variableLeaf(name, { shape: this.shape, dtype: this.dtype }, this);
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((a, b) => a * b, 1);
  }

  /** Takes another initializer. @throws CarambaError `initialized` once there is a value. */
  initializeBy(init: Initializer): void {
    if (this.#host || this.#device)
      throw new CarambaError(`variable "${this.name}" has its values already`, {
        code: "initialized",
        remedy: "choose its initial values before it is first used, or write new ones",
      });
    this.#init = init;
  }

  /** A copy of the current value. */
  async read(): Promise<HostArray> {
    if (this.#device) return this.#device.backend.read(this.#device.buffer);
    return this.#hostValue().slice();
  }

  /** Replaces the value; the array is taken over. */
  write(data: HostArray): void {
    if (data.length !== this.size || !isHostArrayOf(data, this.dtype))
      throw new CarambaError(
        `variable "${this.name}" is ${this.dtype}${shapeText(this.shape)}, given ${data.constructor.name} of ${data.length}`,
        { code: "shape", remedy: "give an array of its dtype with as many elements" },
      );
    this.release();
    this.#host = data;
  }

  /** The buffer that holds the value on a backend, moving it there when needed. */
  async bufferOn(backend: Backend): Promise<DeviceBuffer> {
    if (this.#device?.backend === backend) return this.#device.buffer;
    const data = this.#device ? await this.read() : this.#hostValue();
    this.release();
    const buffer = backend.upload(data, this.shape, this.dtype);
    this.#device = { backend, buffer };
    this.#host = undefined;
    return buffer;
  }

  /** @internal a buffer of the same type that is free to be written, the other half of the double buffer. */
  spareOn(backend: Backend): DeviceBuffer {
    if (this.#spare?.backend !== backend) this.#spare = { backend, buffer: backend.alloc(this.shape, this.dtype) };
    return this.#spare.buffer;
  }

  /** @internal makes `buffer` the value; what was the value becomes the spare. */
  commit(backend: Backend, buffer: DeviceBuffer): void {
    if (this.#spare && this.#spare.buffer !== buffer) this.#spare.backend.dispose(this.#spare.buffer);
    this.#spare = this.#device?.backend === backend ? this.#device : undefined;
    this.#device = { backend, buffer };
    this.#host = undefined;
  }

  /** Frees the spare buffer that training needs; it comes back by itself when training goes on. */
  releaseSpare(): void {
    if (this.#spare) this.#spare.backend.dispose(this.#spare.buffer);
    this.#spare = undefined;
  }

  /** Frees all buffers. The value is lost unless it was read before. */
  release(): void {
    this.releaseSpare();
    if (this.#device) this.#device.backend.dispose(this.#device.buffer);
    this.#device = undefined;
  }

  #hostValue(): HostArray {
    if (!this.#host) {
      const data = this.#init(this.shape, new Philox(this.seed, streamOf(this.name)));
      if (data.length !== this.size || !isHostArrayOf(data, this.dtype))
        throw new CarambaError(`the initializer of "${this.name}" gave ${data.length} values for ${this.size}`, {
          code: "shape",
        });
      this.#host = data;
    }
    return this.#host;
  }
}
