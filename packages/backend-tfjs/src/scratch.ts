// The desk on which one kernel works: it makes tensors through TensorFlow.js' forward kernels and remembers every one,
// so that whatever is not the result is disposed, also when a kernel throws. There is no tape and no tidy: gradients
// are Caramba's own graphs, and tidy does not span what is asynchronous.
import type { HostArray } from "@caramba/tensor";
import { engine, type Tensor } from "@tensorflow/tfjs-core";

/** The element types TensorFlow.js has and this backend offers. */
export type TfDType = "float32" | "int32" | "bool";

/** Named (or, for concat, listed) inputs of a TensorFlow.js kernel. */
type KernelInputs = Readonly<Record<string, Tensor>> | readonly Tensor[];
type KernelAttrs = Readonly<Record<string, unknown>>;

// The engine wants its own map types, which are wider than what kernels take.
type RunKernel = (name: string, inputs: KernelInputs, attrs?: KernelAttrs) => Tensor;

/** Makes a tensor on the active TensorFlow.js backend. */
export function makeTensor(values: HostArray, shape: readonly number[], dtype: TfDType): Tensor {
  return engine().makeTensor(values as Float32Array, [...shape], dtype);
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** Collects the tensors of one kernel. */
export class Scratch {
  /** TensorFlow.js' name of the engine: `cpu`, `wasm`, `webgpu`, `tensorflow`. */
  readonly engine: string;
  readonly #made = new Set<Tensor>();

  constructor(name: string) {
    this.engine = name;
  }

  /** Runs a forward kernel. */
  run(kernel: string, inputs: KernelInputs, attrs: KernelAttrs = {}): Tensor {
    const out = (engine().runKernel as unknown as RunKernel).call(engine(), kernel, inputs, attrs);
    this.#made.add(out);
    return out;
  }

  fresh(values: HostArray, shape: readonly number[], dtype: TfDType): Tensor {
    const out = makeTensor(values, shape, dtype);
    this.#made.add(out);
    return out;
  }

  /** One number as a tensor. */
  number(value: number, dtype: TfDType): Tensor {
    return this.fresh(dtype === "float32" ? Float32Array.of(value) : Int32Array.of(value), [], dtype);
  }

  /** The same values under another shape: no copy. */
  shaped(x: Tensor, shape: readonly number[]): Tensor {
    return sameShape(x.shape, shape) ? x : this.run("Reshape", { x }, { shape: [...shape] });
  }

  filled(shape: readonly number[], value: number, dtype: TfDType): Tensor {
    const values =
      dtype === "float32"
        ? new Float32Array(sizeOf(shape))
        : dtype === "int32"
          ? new Int32Array(sizeOf(shape))
          : new Uint8Array(sizeOf(shape));
    return this.fresh(value === 0 ? values : values.fill(value), shape, dtype);
  }

  /** Values in host memory, or undefined where the engine cannot be read synchronously. */
  peek(x: Tensor): ArrayLike<number> | undefined {
    return this.engine === "webgpu" ? undefined : x.dataSync();
  }

  /** Disposes everything but `result`, which now belongs to the caller; a handle of its own when it was an input. */
  finish(result: Tensor): Tensor {
    const own = this.#made.has(result) ? result : this.run("Identity", { x: result });
    this.#made.delete(own);
    this.dispose();
    return own;
  }

  /** Disposes everything. */
  dispose(): void {
    for (const tensor of this.#made) tensor.dispose();
    this.#made.clear();
  }
}

/** What a kernel is told beside its inputs: attributes with free dimensions bound, and the result's type. */
export interface KernelCall {
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly shape: readonly number[];
  readonly dtype: TfDType;
}

/** One Caramba op on TensorFlow.js. Never called for results without elements. */
export type Kernel = (s: Scratch, inputs: readonly Tensor[], call: KernelCall) => Tensor;
