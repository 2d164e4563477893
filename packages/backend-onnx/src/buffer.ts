// A value in host memory that ORT reads and writes in place. The wrapper objects that ORT wants are made once per
// shape, because making them is a good part of the cost of a short run.
import { CarambaError, type DeviceBuffer, type DType, dtypeBytes, type HostArray, shapeText } from "@caramba/tensor";
import { Tensor as OrtTensor } from "onnxruntime-node";

/** A buffer of this backend. `host` is the live array. */
export class OnnxBuffer implements DeviceBuffer {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly backend: string;
  readonly host: HostArray;
  #tensor: OrtTensor | undefined;
  #others: Map<string, OrtTensor> | undefined;
  #disposed = false;

  constructor(backend: string, host: HostArray, shape: readonly number[], dtype: DType, tensor?: OrtTensor) {
    this.backend = backend;
    this.host = host;
    this.shape = shape;
    this.dtype = dtype;
    this.#tensor = tensor;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** The value as ORT sees it. */
  get tensor(): OrtTensor {
    this.#tensor ??= new OrtTensor(this.dtype, this.host, this.shape as number[]);
    return this.#tensor;
  }

  /** The same memory under another shape of equal size. */
  tensorAs(shape: readonly number[]): OrtTensor {
    if (sameShape(shape, this.shape)) return this.tensor;
    this.#others ??= new Map();
    const key = shape.join();
    let found = this.#others.get(key);
    if (!found) {
      found = new OrtTensor(this.dtype, this.host, shape as number[]);
      this.#others.set(key, found);
    }
    return found;
  }

  /** Drops the wrappers; the memory goes when nobody holds `host`. */
  dispose(): void {
    this.#disposed = true;
    this.#tensor = undefined;
    this.#others = undefined;
  }
}

/** Whether two shapes are equal. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** ORT's result as a host array; float16 may come as Float16Array where the engine has one. */
export function hostArrayOf(tensor: OrtTensor, dtype: DType): HostArray {
  const data = tensor.data as HostArray;
  if (dtype !== "float16" || data instanceof Uint16Array) return data;
  const { buffer, byteOffset, byteLength } = data as ArrayBufferView<ArrayBuffer>;
  return new Uint16Array(buffer, byteOffset, byteLength / dtypeBytes(dtype));
}

/** A buffer that this backend made and that is still valid. */
export function ownBuffer(buffer: DeviceBuffer, backend: string): OnnxBuffer {
  if (!(buffer instanceof OnnxBuffer))
    throw new CarambaError(`a buffer of ${buffer.backend} was given to ${backend}`, {
      code: "wrong-backend",
      remedy: "read it there and upload it here",
    });
  if (buffer.disposed)
    throw new CarambaError(`a buffer ${shapeText(buffer.shape)} is used after it was disposed`, {
      code: "disposed",
      remedy: "keep it until the last run that reads it",
    });
  return buffer;
}
