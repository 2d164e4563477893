// What an engine must offer to run Caramba's graphs: compile a graph, hold buffers. Nothing here knows of layers.
import type { DType, HostArray } from "./dtype.ts";
import type { Graph } from "./graph.ts";

/** A value that lives on an engine. Only the backend that made it can read it. */
export interface DeviceBuffer {
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** The backend's name, for messages. */
  readonly backend: string;
  /** The values themselves where the engine works in host memory: a live view, not a copy. */
  readonly host?: HostArray;
}

/** Facts that programs ask before they choose how to build. */
export interface Capabilities {
  readonly dtypes: readonly DType[];
  /** Composite ops with a native kernel; the rest is decomposed. */
  readonly composites: readonly string[];
  /** Whether one executable serves every value of a symbolic dimension. */
  readonly symbolicDims: boolean;
  /** Whether `prefix` and `writeRows` work in place, without copying the whole buffer. */
  readonly inPlaceRows: boolean;
  /** Where results are computed in float64 (the oracle). */
  readonly float64: boolean;
}

/** What is known of a compiled graph. */
export interface ExecutableInfo {
  /** Nodes the engine runs. */
  readonly nodes: number;
  readonly compileMs: number;
  /** Whether an equal graph had been compiled before. */
  readonly cached: boolean;
}

/** A compiled graph. Positional: inputs as in graph.inputs, outputs as in graph.outputs. */
export interface Executable {
  readonly info: ExecutableInfo;
  /**
   * Runs once. `into[i]`, where given, receives output i and is returned for it; it must have its shape and dtype and
   * must not be one of the inputs.
   */
  run(inputs: readonly DeviceBuffer[], into?: readonly (DeviceBuffer | undefined)[]): Promise<DeviceBuffer[]>;
  dispose(): void;
}

/** How a graph is compiled. */
export interface CompileOptions {
  /** Reuse an equal graph's session; default true. */
  readonly cache?: boolean;
}

/** An engine. */
export interface Backend {
  /** Such as `onnx:cpu`. */
  readonly name: string;
  readonly version: string;
  readonly capabilities: Capabilities;
  compile(graph: Graph, options?: CompileOptions): Promise<Executable>;
  /** Takes over `data` (engines in host memory keep the array itself). */
  upload(data: HostArray, shape: readonly number[], dtype: DType): DeviceBuffer;
  /** An uninitialised buffer. */
  alloc(shape: readonly number[], dtype: DType): DeviceBuffer;
  /** A copy of the values in host memory. */
  read(buffer: DeviceBuffer): Promise<HostArray>;
  /** The first `rows` rows of axis 0, sharing storage where the engine can. Valid until the buffer is disposed. */
  prefix(buffer: DeviceBuffer, rows: number): DeviceBuffer;
  /** Writes all rows of `source` into `buffer` from row `row`; returns the buffer that now holds them. */
  writeRows(buffer: DeviceBuffer, row: number, source: DeviceBuffer): DeviceBuffer;
  dispose(buffer: DeviceBuffer): void;
  /** Frees every session; buffers die with it. */
  close(): Promise<void>;
}

/** What a backend package exports. */
export interface BackendModule {
  open(options: { readonly device?: string; readonly threads?: number }): Promise<Backend>;
}
