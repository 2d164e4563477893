// The reference backend: plain TypeScript, every value in float64, one op after another. It is the oracle of every
// test and works wherever JavaScript does; it is never fast. Values keep float64 precision between ops and are rounded
// to their dtype only where a `cast` says so or where they are read.
import type { Backend, Capabilities, DeviceBuffer, Executable } from "./backend.ts";
import { type DType, dtypeBytes, type HostArray } from "./dtype.ts";
import { CarambaError } from "./errors.ts";
import type { Graph } from "./graph.ts";
import { interpret } from "./interpret.ts";
import { fromRef, lowerComposites, toRef } from "./passes/passes.ts";
import type { RefValue } from "./tensor.ts";

/** A reference buffer: the float64 values are open to tests. */
export interface RefBuffer extends DeviceBuffer {
  values: Float64Array;
}

const capabilities: Capabilities = {
  dtypes: ["float32", "float16", "int32", "uint8", "int8", "bool"],
  composites: [],
  symbolicDims: true,
  inPlaceRows: true,
  float64: true,
};

const lower = lowerComposites(new Set());

function refBuffer(value: RefValue): RefBuffer {
  return { shape: value.shape, dtype: value.dtype, backend: "reference", values: value.data };
}

function own(buffer: DeviceBuffer): RefBuffer {
  if (buffer.backend !== "reference")
    throw new CarambaError(`a buffer of ${buffer.backend} was given to the reference backend`, {
      code: "wrong-backend",
      remedy: "read it there and upload it here",
    });
  return buffer as RefBuffer;
}

/** The oracle; `reference` to `openBackend`. */
export class ReferenceBackend implements Backend {
  readonly name: string = "reference";
  readonly version: string = "1";
  readonly capabilities: Capabilities = capabilities;

  compile(graph: Graph): Promise<Executable> {
    const start = performance.now();
    const lowered = lower(graph);
    const order = graph.inputs.map((leaf) => lowered.inputs.indexOf(leaf));
    const info = { nodes: lowered.nodes.length, compileMs: performance.now() - start, cached: false };
    const run = async (inputs: readonly DeviceBuffer[], into: readonly (DeviceBuffer | undefined)[] = []) => {
      const fed: RefValue[] = new Array(lowered.inputs.length);
      inputs.forEach((buffer, i) => {
        const { shape, dtype, values } = own(buffer);
        const at = order[i] as number;
        if (at >= 0) fed[at] = { shape, dtype, data: values };
      });
      const values = interpret(lowered, fed);
      return lowered.outputs.map((node, i) => {
        const value = values.get(node) as RefValue;
        const target = into[i];
        if (!target) return refBuffer({ ...value, data: value.data.slice() });
        own(target).values.set(value.data);
        return target;
      });
    };
    return Promise.resolve({ info, run, dispose: () => {} });
  }

  upload(data: HostArray, shape: readonly number[], dtype: DType): RefBuffer {
    return refBuffer(toRef(data, shape, dtype));
  }

  /** Uploads float64 values without rounding them, for finite differences. */
  uploadExact(values: Float64Array, shape: readonly number[], dtype: DType = "float32"): RefBuffer {
    return refBuffer({ shape, dtype, data: values });
  }

  alloc(shape: readonly number[], dtype: DType): RefBuffer {
    return refBuffer({ shape, dtype, data: new Float64Array(shape.reduce((a, b) => a * b, 1)) });
  }

  read(buffer: DeviceBuffer): Promise<HostArray> {
    const { shape, dtype, values } = own(buffer);
    return Promise.resolve(fromRef({ shape, dtype, data: values }));
  }

  prefix(buffer: DeviceBuffer, rows: number): RefBuffer {
    const { shape, dtype, values } = own(buffer);
    const width = shape.slice(1).reduce((a, b) => a * b, 1);
    return refBuffer({ shape: [rows, ...shape.slice(1)], dtype, data: values.subarray(0, rows * width) });
  }

  writeRows(buffer: DeviceBuffer, row: number, source: DeviceBuffer): DeviceBuffer {
    const target = own(buffer);
    const width = target.shape.slice(1).reduce((a, b) => a * b, 1);
    target.values.set(own(source).values, row * width);
    return buffer;
  }

  dispose(): void {}

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Bytes a buffer takes when stored in its dtype. */
export function bufferBytes(buffer: DeviceBuffer): number {
  return buffer.shape.reduce((a, b) => a * b, 1) * dtypeBytes(buffer.dtype);
}
