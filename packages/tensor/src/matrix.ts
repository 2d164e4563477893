// The generated test matrix: every sample of every op, forward and backward, on any backend. It is data and checks, not
// tests, so that each backend's test file (and a user's own backend) runs the same rows. Forward values are compared
// with the reference backend; reference gradients with central differences in float64.
import { valueAndGrad } from "./autodiff.ts";
import type { Backend } from "./backend.ts";
import { type DType, type HostArray, isFloat } from "./dtype.ts";
import { CarambaError } from "./errors.ts";
import { Graph } from "./graph.ts";
import { mul } from "./ops/elementwise.ts";
import { sum } from "./ops/shape.ts";
import { fromRef, toRef } from "./passes/passes.ts";
import { Philox, streamOf } from "./random.ts";
import { ReferenceBackend } from "./reference.ts";
import { composites, primitives } from "./registry.ts";
import { constant, input, makeNode, type OpDef, type OpSample, type Tensor } from "./tensor.ts";

/** One row of the matrix. */
export interface OpCase {
  /** Such as `matmul #2 [2, 3, 4] [2, 5, 4]`. */
  readonly name: string;
  readonly op: OpDef;
  readonly sample: OpSample;
}

/** All rows, or those of given ops. */
export function opCases(ops: readonly OpDef[] = [...primitives, ...composites]): OpCase[] {
  return ops.flatMap((op) =>
    (op.samples ?? []).map((sample, i) => {
      const shapes = sample.inputs.map((x) => `[${x.shape.join(", ")}]`).join(" ");
      return { name: `${op.name} #${i} ${shapes}${sample.about ? ` ${sample.about}` : ""}`, op, sample };
    }),
  );
}

/** A case as a graph with fed leaves and values for them. */
export interface BuiltCase {
  readonly output: Tensor;
  readonly leaves: readonly Tensor[];
  readonly values: readonly HostArray[];
}

/** Builds the expression of a case and draws its inputs; the same case gives the same values. */
export function buildCase({ op, sample, name }: OpCase, seed = 1): BuiltCase {
  const random = new Philox(seed, streamOf(name));
  const leaves = sample.inputs.map((x, i) => input(`x${i}`, x.shape, x.dtype));
  const values = sample.inputs.map((x) => {
    const size = x.shape.reduce((a, b) => a * b, 1);
    const [low, high] = [x.low ?? -2, x.high ?? 2];
    const draw = () => low + (high - low) * random.uniform();
    const dtype: DType = x.dtype ?? "float32";
    const data = Float64Array.from({ length: size }, (_, i) => {
      const value = x.values ? (x.values[i] as number) : draw();
      return isFloat(dtype) ? value : Math.floor(value);
    });
    return fromRef({ shape: x.shape, dtype, data });
  });
  return { output: makeNode(op, leaves, sample.attrs ?? {}), leaves, values };
}

/** The sum of the output weighted by fixed random numbers: a scalar whose gradient tests every element. */
export function weightedSum(output: Tensor, seed = 2): Tensor {
  const shape = output.shape as readonly number[];
  const weights = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const random = new Philox(seed);
  for (let i = 0; i < weights.length; i++) weights[i] = 0.5 + random.uniform();
  return sum(mul(output, constant(weights, shape)));
}

/** Inputs of a case through which a gradient flows. */
export function gradientLeaves({ sample }: OpCase, leaves: readonly Tensor[]): Tensor[] {
  return leaves.filter((leaf, i) => isFloat(leaf.dtype) && !sample.inputs[i]?.fixed);
}

/** Runs a graph on a backend with host values for its leaves; results in float64. */
export async function runOn(
  backend: Backend,
  outputs: readonly Tensor[],
  leaves: readonly Tensor[],
  values: readonly HostArray[],
): Promise<Float64Array[]> {
  const graph = new Graph(outputs);
  const executable = await backend.compile(graph);
  const buffers = graph.inputs.map((leaf) => {
    const i = leaves.indexOf(leaf);
    return backend.upload((values[i] as HostArray).slice(), leaf.shape as number[], leaf.dtype);
  });
  const results = await executable.run(buffers);
  const read: Float64Array[] = [];
  for (const buffer of results) {
    read.push(toRef(await backend.read(buffer), buffer.shape, buffer.dtype).data);
    backend.dispose(buffer);
  }
  for (const buffer of buffers) backend.dispose(buffer);
  executable.dispose();
  return read;
}

/** Largest difference relative to max(floor, |expected|), floor 1 by default; NaN counts as infinite. */
export function largestError(actual: ArrayLike<number>, expected: ArrayLike<number>, floor = 1): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] as number, expected[i] as number];
    const error = Object.is(a, e) || a === e ? 0 : Math.abs(a - e) / Math.max(floor, Math.abs(e));
    if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return worst;
}

function demand(error: number, tolerance: number, what: string): number {
  if (error <= tolerance) return error;
  throw new CarambaError(`${what}: error ${error.toExponential(2)} exceeds ${tolerance}`, { code: "op-mismatch" });
}

const reference = new ReferenceBackend();

/** Compares a backend's value of a case with the reference; returns the largest error. */
export async function checkForward(backend: Backend, row: OpCase, tolerance = 1e-5): Promise<number> {
  const { output, leaves, values } = buildCase(row);
  const [expected] = await runOn(reference, [output], leaves, values);
  const [actual] = await runOn(backend, [output], leaves, values);
  return demand(
    largestError(actual as Float64Array, expected as Float64Array, row.sample.relative ? Number.MIN_VALUE : 1),
    tolerance,
    `${row.name} on ${backend.name}`,
  );
}

/** Compares a backend's gradients of a case with the reference's; returns the largest error. */
export async function checkGradient(backend: Backend, row: OpCase, tolerance = 1e-4): Promise<number> {
  const { output, leaves, values } = buildCase(row);
  const { grads } = valueAndGrad(weightedSum(output), gradientLeaves(row, leaves));
  const expected = await runOn(reference, grads, leaves, values);
  const actual = await runOn(backend, grads, leaves, values);
  const errors = actual.map((a, i) => largestError(a, expected[i] as Float64Array));
  return demand(Math.max(0, ...errors), tolerance, `gradient of ${row.name} on ${backend.name}`);
}

/** Compares the reference gradients of a case with central differences in float64 (step 1e-6). */
export async function checkFiniteDifferences(row: OpCase, tolerance = 1e-6, step = 1e-6): Promise<number> {
  const { output, leaves, values } = buildCase(row);
  const wrt = gradientLeaves(row, leaves);
  const { value, grads } = valueAndGrad(weightedSum(output), wrt);
  const expected = await runOn(reference, grads, leaves, values);
  const graph = new Graph([value]);
  const executable = await reference.compile(graph);
  const exact = leaves.map((leaf, i) => toRef(values[i] as HostArray, leaf.shape as number[], leaf.dtype).data);
  const lossAt = async (): Promise<number> => {
    const fed = graph.inputs.map((leaf) =>
      reference.uploadExact(exact[leaves.indexOf(leaf)] as Float64Array, leaf.shape as number[], leaf.dtype),
    );
    const [loss] = await executable.run(fed);
    return (loss as ReturnType<typeof reference.uploadExact>).values[0] as number;
  };
  let worst = 0;
  for (const [k, leaf] of wrt.entries()) {
    const x = exact[leaves.indexOf(leaf)] as Float64Array;
    const numeric = new Float64Array(x.length);
    for (let i = 0; i < x.length; i++) {
      const at = x[i] as number;
      x[i] = at + step;
      const above = await lossAt();
      x[i] = at - step;
      numeric[i] = (above - (await lossAt())) / (2 * step);
      x[i] = at;
    }
    worst = Math.max(worst, largestError(expected[k] as Float64Array, numeric));
  }
  return demand(worst, tolerance, `finite differences of ${row.name}`);
}
