// A value on a TensorFlow.js engine. Tensors are immutable (wasm keeps packed copies of weights by tensor, which an
// in-place write would not reach), so a buffer is a holder: writing to it puts another tensor in its place.
import type { DeviceBuffer, DType } from "@caramba/tensor";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { TfDType } from "./scratch.ts";

/** Holds one tensor, or none yet (a fresh `alloc`). */
export class TfjsBuffer implements DeviceBuffer {
  readonly shape: readonly number[];
  readonly dtype: DType & TfDType;
  readonly backend: string;
  /** @internal the backend that made it. */
  readonly owner: object;
  #tensor: Tensor | undefined;
  #disposed = false;

  /** @internal */
  constructor(owner: object, backend: string, shape: readonly number[], dtype: DType & TfDType, tensor?: Tensor) {
    this.owner = owner;
    this.backend = backend;
    this.shape = [...shape];
    this.dtype = dtype;
    this.#tensor = tensor;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** @internal the tensor, if any was put in. */
  get tensor(): Tensor | undefined {
    return this.#tensor;
  }

  /** @internal takes over a tensor, disposing the one before. */
  put(tensor: Tensor): void {
    this.#tensor?.dispose();
    this.#tensor = tensor;
  }

  /** @internal frees the tensor; twice does no harm. */
  dispose(): void {
    this.#tensor?.dispose();
    this.#tensor = undefined;
    this.#disposed = true;
  }
}
