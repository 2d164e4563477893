// The Backend contract on TensorFlow.js: which buffers are whose, and how values go in and out.
import {
  allocHost,
  type Backend,
  type Capabilities,
  CarambaError,
  type DeviceBuffer,
  type DType,
  type Executable,
  type Graph,
  type HostArray,
  isHostArrayOf,
  ShapeError,
  shapeText,
} from "@caramba/tensor";
import { type Tensor, version_core } from "@tensorflow/tfjs-core";
import { TfjsBuffer } from "./buffer.ts";
import { activate, engineOf, type TfjsDevice } from "./engine.ts";
import { type Host, TfjsExecutable } from "./executable.ts";
import { claimed } from "./kernels/table.ts";
import { makeTensor, Scratch, sameShape, sizeOf, type TfDType } from "./scratch.ts";

const dtypes: readonly TfDType[] = ["float32", "int32", "bool"];

const capabilities: Capabilities = {
  dtypes,
  composites: claimed,
  symbolicDims: true,
  inPlaceRows: false,
  float64: false,
};

/** One engine of TensorFlow.js; made by `open` and `openWebGpu`. */
export class TfjsBackend implements Backend {
  readonly name: string;
  readonly version: string = version_core;
  readonly capabilities: Capabilities = capabilities;
  /** Threads the engine computes with, where TensorFlow.js tells; else 1. */
  readonly threads: number;
  readonly #engine: string;
  readonly #host: Host;
  readonly #buffers = new Set<TfjsBuffer>();
  readonly #executables = new Set<TfjsExecutable>();
  #closed = false;

  /** @internal */
  constructor(device: TfjsDevice, threads = 1) {
    this.name = `tfjs:${device}`;
    this.threads = threads;
    this.#engine = engineOf[device];
    this.#host = {
      name: this.name,
      engine: this.#engine,
      activate: () => this.#activate(),
      own: (buffer) => this.#own(buffer),
      tensorOf: (buffer) => this.#tensorOf(buffer),
      wrap: (tensor, shape, dtype) => this.#wrap(shape, dtype, tensor),
    };
  }

  async compile(graph: Graph): Promise<Executable> {
    const executable = new TfjsExecutable(this.#host, graph);
    this.#executables.add(executable);
    return {
      info: executable.info,
      run: (inputs, into) => executable.run(inputs, into),
      dispose: () => {
        executable.dispose();
        this.#executables.delete(executable);
      },
    };
  }

  upload(data: HostArray, shape: readonly number[], dtype: DType): TfjsBuffer {
    const type = this.#dtype(dtype);
    if (!isHostArrayOf(data, dtype) || data.length !== sizeOf(shape))
      throw new ShapeError(
        `${data.constructor.name} of ${data.length} does not fill ${dtype}${shapeText(shape)}`,
        "give an array of the dtype with as many elements",
      );
    this.#activate();
    return this.#wrap(shape, type, makeTensor(data, shape, type));
  }

  /** A buffer of zeros; it takes no memory before something is put in or read. */
  alloc(shape: readonly number[], dtype: DType): TfjsBuffer {
    this.#activate();
    return this.#wrap(shape, this.#dtype(dtype));
  }

  async read(buffer: DeviceBuffer): Promise<HostArray> {
    const own = this.#own(buffer);
    this.#activate();
    const values = own.tensor ? await own.tensor.data() : undefined;
    // Some engines hand out their own storage: always a copy.
    const out = allocHost(own.dtype, sizeOf(own.shape));
    if (values) out.set(values);
    return out;
  }

  /** The first rows, copied: TensorFlow.js has no views. */
  prefix(buffer: DeviceBuffer, rows: number): TfjsBuffer {
    const own = this.#own(buffer);
    const [all, ...rest] = own.shape;
    if (all === undefined || !Number.isInteger(rows) || rows < 0 || rows > all)
      throw new ShapeError(`${rows} rows of a buffer ${shapeText(own.shape)}`, "ask for at most as many as there are");
    this.#activate();
    return this.#wrap([rows, ...rest], own.dtype, this.#rows(this.#tensorOf(own), 0, rows, own.dtype));
  }

  /** Joins the rows before, `source` and the rows after into a new tensor, which takes the place of the old. */
  writeRows(buffer: DeviceBuffer, row: number, source: DeviceBuffer): DeviceBuffer {
    const [target, rows] = [this.#own(buffer), this.#own(source)];
    const [all = 0, ...rest] = target.shape;
    const [count = 0] = rows.shape;
    if (
      target.dtype !== rows.dtype ||
      target.shape.length === 0 ||
      !sameShape(rows.shape.slice(1), rest) ||
      rows.shape.length !== target.shape.length ||
      !Number.isInteger(row) ||
      row < 0 ||
      row + count > all
    )
      throw new ShapeError(
        `rows ${rows.dtype}${shapeText(rows.shape)} do not fit at row ${row} of ${target.dtype}${shapeText(target.shape)}`,
      );
    if (rows === target || sizeOf(rows.shape) === 0) return target;
    this.#activate();
    const scratch = new Scratch(this.#engine);
    try {
      const old = this.#tensorOf(target);
      const width = sizeOf(rest);
      const flat = (x: Tensor) => scratch.shaped(x, [x.size]);
      const part = (from: number, to: number) =>
        to > from
          ? [scratch.run("Slice", { x: flat(old) }, { begin: [from * width], size: [(to - from) * width] })]
          : [];
      const parts = [...part(0, row), flat(this.#tensorOf(rows)), ...part(row + count, all)];
      const joined = parts.length === 1 ? (parts[0] as Tensor) : scratch.run("Concat", parts, { axis: 0 });
      target.put(scratch.finish(scratch.shaped(joined, target.shape)));
    } finally {
      scratch.dispose();
    }
    return target;
  }

  dispose(buffer: DeviceBuffer): void {
    if (!(buffer instanceof TfjsBuffer) || buffer.owner !== this) throw this.#foreign(buffer);
    buffer.dispose();
    this.#buffers.delete(buffer);
  }

  /** Disposes all that this backend made. The engine stays, since others may use it. */
  close(): Promise<void> {
    for (const executable of this.#executables) executable.dispose();
    for (const buffer of this.#buffers) buffer.dispose();
    this.#executables.clear();
    this.#buffers.clear();
    this.#closed = true;
    return Promise.resolve();
  }

  #activate(): void {
    if (this.#closed)
      throw new CarambaError(`${this.name} was closed`, { code: "closed", remedy: "open it again with openBackend" });
    activate(this.#engine);
  }

  #dtype(dtype: DType): TfDType {
    const found = dtypes.find((d) => d === dtype);
    if (!found)
      throw new CarambaError(`${this.name} does not have dtype ${dtype}`, {
        code: "dtype",
        remedy: `use one of ${dtypes.join(", ")}, or a backend whose capabilities list it`,
      });
    return found;
  }

  #wrap(shape: readonly number[], dtype: TfDType, tensor?: Tensor): TfjsBuffer {
    const buffer = new TfjsBuffer(this, this.name, shape, dtype, tensor);
    this.#buffers.add(buffer);
    return buffer;
  }

  #rows(x: Tensor, from: number, rows: number, dtype: TfDType): Tensor {
    const [, ...rest] = x.shape;
    const shape = [rows, ...rest];
    const scratch = new Scratch(this.#engine);
    try {
      if (sizeOf(shape) === 0) return scratch.finish(scratch.filled(shape, 0, dtype));
      const width = sizeOf(rest);
      const part = { begin: [from * width], size: [rows * width] };
      return scratch.finish(scratch.shaped(scratch.run("Slice", { x: scratch.shaped(x, [x.size]) }, part), shape));
    } finally {
      scratch.dispose();
    }
  }

  #tensorOf(buffer: TfjsBuffer): Tensor {
    if (!buffer.tensor)
      buffer.put(makeTensor(allocHost(buffer.dtype, sizeOf(buffer.shape)), buffer.shape, buffer.dtype));
    return buffer.tensor as Tensor;
  }

  #foreign(buffer: DeviceBuffer): CarambaError {
    const whose = buffer.backend === this.name ? `another ${this.name}` : buffer.backend;
    return new CarambaError(`a buffer of ${whose} was given to ${this.name}`, {
      code: "wrong-backend",
      remedy: "read it there and upload it here",
    });
  }

  #own(buffer: DeviceBuffer): TfjsBuffer {
    if (!(buffer instanceof TfjsBuffer) || buffer.owner !== this) throw this.#foreign(buffer);
    if (buffer.disposed)
      throw new CarambaError(`a buffer ${buffer.dtype}${shapeText(buffer.shape)} is used after it was disposed`, {
        code: "disposed",
      });
    return buffer;
  }
}
