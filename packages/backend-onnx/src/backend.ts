// The ONNX Runtime engine: graph -> model -> session. Buffers live in host memory, where sessions read and write them
// in place, so that training and inference share one copy of the weights.
import {
  allocHost,
  type Backend,
  type Capabilities,
  CarambaError,
  type CompileOptions,
  type DeviceBuffer,
  type DType,
  type Executable,
  type Graph,
  type HostArray,
  isHostArrayOf,
  ShapeError,
  shapeText,
} from "@caramba/tensor";
import { env, InferenceSession } from "onnxruntime-node";
import { OnnxBuffer, ownBuffer, sameShape } from "./buffer.ts";
import { defaultThreads, findDevice } from "./device.ts";
import type { Device } from "./emit/emitter.ts";
import { claimed } from "./emit/table.ts";
import { compileError } from "./errors.ts";
import { OnnxExecutable } from "./executable.ts";
import { planGraph } from "./plan.ts";
import { type CacheLimits, type Compiled, SessionCache } from "./session-cache.ts";
import { specialise } from "./specialise.ts";

/** How the engine is opened. */
export interface OnnxOptions {
  /** `cpu` (default), `cuda`, `webgpu`, `dml` or `coreml`. */
  readonly device?: string;
  /** Compute threads; default: the physical cores. */
  readonly threads?: number;
  /** How many compiled graphs are kept. */
  readonly cache?: CacheLimits;
}

const capabilities: Capabilities = {
  dtypes: ["float32", "float16", "int32", "uint8", "int8", "bool"],
  composites: claimed,
  symbolicDims: true,
  inPlaceRows: true,
  float64: false,
};

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Options of every session. */
export function sessionOptions(device: Device, threads: number): InferenceSession.SessionOptions {
  return {
    // The CPU comes last: it runs the shape arithmetic of every provider.
    executionProviders: device === "cpu" ? ["cpu"] : [device, "cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    // One block planned for all activations is no faster than the arena alone and holds a quarter more memory (medium
    // train step: 2.4 against 1.9 GB). Without the arena it would be 1.7 GB, and decoding a fifth slower.
    enableMemPattern: false,
    graphOptimizationLevel: "all",
    // Errors come back as exceptions; ORT need not print them too.
    logSeverityLevel: 4,
    extra: {
      session: {
        // Denormals in optimizer states would slow arithmetic tenfold.
        set_denormal_as_zero: "1",
        // Idle workers spin for 1 ms by default. Beside anything else that runs (JavaScript, another session, another
        // program) that makes a train step two to four times slower; 20 us still bridges the gap between two nodes.
        intra_op: { spin_duration_us: "20" },
      },
    },
  };
}

/** ONNX Runtime as an engine; `open` makes one. */
export class OnnxBackend implements Backend {
  readonly name: string;
  readonly version: string;
  readonly capabilities: Capabilities = capabilities;
  readonly device: Device;
  readonly threads: number;
  readonly #cache: SessionCache;

  /** @internal use `open`. */
  constructor(device: Device, threads: number, limits?: CacheLimits) {
    this.device = device;
    this.threads = threads;
    this.name = `onnx:${device}`;
    this.version = env.versions.node ?? env.versions.common;
    this.#cache = new SessionCache(limits);
  }

  /** Compiled graphs that are kept. */
  get cachedSessions(): number {
    return this.#cache.size;
  }

  async compile(graph: Graph, options: CompileOptions = {}): Promise<Executable> {
    const start = performance.now();
    const key = options.cache === false ? undefined : graph.hash;
    const { compiled, hit, release } = await this.#cache.use(key, () => this.#build(graph));
    const info = { nodes: compiled.plan.nodes, compileMs: performance.now() - start, cached: hit };
    return new OnnxExecutable(this.name, compiled.session, graph, compiled.plan, info, release, (bindings) =>
      this.compile(specialise(graph, bindings)),
    );
  }

  async #build(graph: Graph): Promise<Compiled> {
    const start = performance.now();
    const plan = planGraph(graph, this.device);
    try {
      const session = await InferenceSession.create(plan.model, sessionOptions(this.device, this.threads));
      return { session, plan, compileMs: performance.now() - start };
    } catch (cause) {
      throw compileError(cause, this.name);
    }
  }

  upload(data: HostArray, shape: readonly number[], dtype: DType): OnnxBuffer {
    if (!isHostArrayOf(data, dtype) || data.length !== sizeOf(shape))
      throw new ShapeError(
        `${data.constructor.name} of ${data.length} does not fill ${dtype}${shapeText(shape)}`,
        "give as many elements as the shape has",
      );
    return new OnnxBuffer(this.name, data, [...shape], dtype);
  }

  alloc(shape: readonly number[], dtype: DType): OnnxBuffer {
    return new OnnxBuffer(this.name, allocHost(dtype, sizeOf(shape)), [...shape], dtype);
  }

  read(buffer: DeviceBuffer): Promise<HostArray> {
    return Promise.resolve(ownBuffer(buffer, this.name).host.slice());
  }

  prefix(buffer: DeviceBuffer, rows: number): OnnxBuffer {
    const { host, shape, dtype } = ownBuffer(buffer, this.name);
    const [extent = 0, ...rest] = shape;
    if (!(rows >= 0 && rows <= extent))
      throw new ShapeError(`${rows} rows of a buffer ${shapeText(shape)}`, `at most ${extent} exist`);
    return new OnnxBuffer(this.name, host.subarray(0, rows * sizeOf(rest)), [rows, ...rest], dtype);
  }

  writeRows(buffer: DeviceBuffer, row: number, source: DeviceBuffer): OnnxBuffer {
    const target = ownBuffer(buffer, this.name);
    const { host, shape, dtype } = ownBuffer(source, this.name);
    const [extent = 0, ...rest] = target.shape;
    if (dtype !== target.dtype || !sameShape(shape.slice(1), rest) || row < 0 || row + (shape[0] ?? 0) > extent)
      throw new ShapeError(
        `rows ${dtype}${shapeText(shape)} do not fit at row ${row} of ${target.dtype}${shapeText(target.shape)}`,
        "grow the buffer first",
      );
    target.host.set(host, row * sizeOf(rest));
    return target;
  }

  dispose(buffer: DeviceBuffer): void {
    if (buffer instanceof OnnxBuffer) buffer.dispose();
  }

  close(): Promise<void> {
    return this.#cache.clear();
  }
}

/**
 * Opens ONNX Runtime.
 * @throws CarambaError (code `device`) when the execution provider does not exist or does not work here.
 */
export async function open(options: OnnxOptions = {}): Promise<OnnxBackend> {
  const { threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1))
    throw new CarambaError(`${threads} compute threads`, {
      code: "threads",
      remedy: "give a whole number of at least 1",
    });
  // Read once by ORT, when the first session is made.
  env.logLevel = "fatal";
  const device = await findDevice(options.device ?? "cpu");
  return new OnnxBackend(device, threads ?? defaultThreads(), options.cache);
}
