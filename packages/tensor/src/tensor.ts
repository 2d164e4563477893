// The graph node. A Tensor is immutable: an op, its inputs, its attributes, and the shape and dtype that follow.
// Building one computes nothing. Equal expressions are the same node (hash-consing): a node is remembered by its
// newest input, so that dropping a graph's inputs drops the graph; there is no global table to clear.
import { type Dim, dimKey, type Shape, SymDim, shapeText } from "./dim.ts";
import type { DType, HostArray } from "./dtype.ts";
import { CarambaError, ShapeError } from "./errors.ts";

/** What is known about a value before it is computed. */
export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Attributes are plain data, so that they can be part of a node's key. */
export type AttrValue = string | number | boolean | undefined | SymDim | readonly AttrValue[];
export type Attrs = Readonly<Record<string, AttrValue>>;

/** A value of the reference backend: float64 storage whatever the dtype, row-major. */
export interface RefValue {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: Float64Array;
}

/** What an op's gradient rule is given. */
export interface VjpContext<A> {
  /** Gradient of the loss with respect to the output. */
  readonly g: Tensor;
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly attrs: A;
}

/** Gradient for one input: a node, a thunk (built only when needed), or null where none flows. */
export type InputGrad = Tensor | (() => Tensor) | null;

/** One row of the generated test matrix: inputs by shape and range. */
export interface OpSample<A = Attrs> {
  readonly inputs: readonly SampleInput[];
  readonly attrs?: A;
  /** What this sample is about, when the shapes do not say it. */
  readonly about?: string;
  /** False where the function has no gradient at the sample (ties, steps); default true. */
  readonly differentiable?: boolean;
  /** True where values keep their relative precision however small they are; default: errors below 1 count as they are. */
  readonly relative?: boolean;
}

/** Values of a sample input: uniform in [low, high), or the listed values. */
export interface SampleInput {
  readonly shape: readonly number[];
  readonly dtype?: DType;
  readonly low?: number;
  readonly high?: number;
  readonly values?: readonly number[];
  /** Taken as a constant by the gradient rule (rotation tables). */
  readonly fixed?: boolean;
}

/** The one declaration of an op. Primitives have `evaluate`, composites have `decompose`. */
export interface OpDef<A extends Attrs = Attrs> {
  readonly name: string;
  /** Output type, or a thrown ShapeError that says which shapes do not fit. */
  readonly infer: (inputs: readonly TensorType[], attrs: A) => TensorType;
  /** Vector-Jacobian product, one gradient per input. Absent: differentiated through `decompose`, or not at all. */
  readonly vjp?: (context: VjpContext<A>) => readonly InputGrad[];
  /** Reference implementation, float64. `shape` is the concrete output shape. */
  readonly evaluate?: (inputs: readonly RefValue[], attrs: A, shape: readonly number[]) => Float64Array;
  /** The same value from simpler ops. */
  readonly decompose?: (inputs: readonly Tensor[], attrs: A) => Tensor;
  /** Floating-point operations, a multiply-add counting two; absent: none worth counting. */
  readonly flops?: (inputs: readonly TensorType[], attrs: A, output: TensorType) => Dim;
  readonly samples?: readonly OpSample<A>[];
}

let nextId = 0;
let currentScope = "";

/** An immutable node of the tensor graph. */
export class Tensor implements TensorType {
  readonly op: OpDef;
  readonly inputs: readonly Tensor[];
  readonly attrs: Attrs;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Grows with creation: a node's inputs always have smaller ids. */
  readonly id: number = nextId++;
  /** Path of the layer that built the node, for messages and profiles. */
  readonly scope: string = currentScope;
  /** What only leaves carry: a constant's values, a variable, an input's name. */
  readonly leaf: Leaf | undefined;
  /** Nodes built on this one as their newest input, by structural key. */
  #uses: Map<string, Tensor> | undefined;

  constructor(op: OpDef, inputs: readonly Tensor[], attrs: Attrs, type: TensorType, leaf?: Leaf) {
    this.op = op;
    this.inputs = inputs;
    this.attrs = attrs;
    this.shape = type.shape;
    this.dtype = type.dtype;
    this.leaf = leaf;
  }

  get rank(): number {
    return this.shape.length;
  }

  /** Computes this value on the default backend and reads it back. Inputs without a value are an error. */
  async data(): Promise<HostArray> {
    const { evaluate } = await import("./evaluate.ts");
    return evaluate(this);
  }

  toString(): string {
    return `${this.op.name}${shapeText(this.shape)}:${this.dtype}`;
  }

  /** @internal the remembered node for a key, or the one `make` builds. */
  intern(key: string, make: () => Tensor): Tensor {
    this.#uses ??= new Map();
    let found = this.#uses.get(key);
    if (!found) {
      found = make();
      this.#uses.set(key, found);
    }
    return found;
  }
}

/** What distinguishes leaves. Variables are declared in variable.ts; here only what a graph must know of them. */
export type Leaf =
  | { readonly kind: "input"; readonly name: string }
  | { readonly kind: "constant"; readonly data: HostArray }
  | { readonly kind: "random"; readonly name: string }
  | { readonly kind: "variable"; readonly name: string; readonly variable: object };

function attrKey(value: AttrValue): string {
  if (value instanceof SymDim) return `<${value.key}>`;
  if (Array.isArray(value)) return `[${value.map(attrKey).join()}]`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** Canonical text of attributes, part of structural keys and graph hashes. */
export function attrsKey(attrs: Attrs): string {
  return Object.keys(attrs)
    .sort()
    .map((name) => `${name}=${attrKey(attrs[name])}`)
    .join(";");
}

/** Builds (or finds) the node of an op. Errors carry the layer path and the op's name. */
export function makeNode<A extends Attrs>(op: OpDef<A>, inputs: readonly Tensor[], attrs: A): Tensor {
  const build = () => {
    try {
      const type = op.infer(inputs, attrs);
      checkShape("the result", type.shape);
      return new Tensor(op as unknown as OpDef, inputs, attrs, type);
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error;
      throw new ShapeError(`${currentScope ? `${currentScope}: ` : ""}${op.name}: ${error.message}`, error.remedy);
    }
  };
  let newest = inputs[0];
  for (const input of inputs) if (newest === undefined || input.id > newest.id) newest = input;
  if (newest === undefined) return build();
  return newest.intern(`${op.name}(${inputs.map((t) => t.id).join()})${attrsKey(attrs)}`, build);
}

/**
 * Runs `build` with a layer path that its nodes and errors will name; nested scopes are joined by dots.
 * Only synchronous code can be scoped.
 */
export function withScope<T>(path: string, build: () => T): T {
  const outer = currentScope;
  currentScope = outer && path ? `${outer}.${path}` : outer || path;
  try {
    return build();
  } finally {
    currentScope = outer;
  }
}

/** Runs `build` under exactly the path that an existing node carries: for passes, which rebuild nodes where they were. */
export function atScope<T>(path: string, build: () => T): T {
  const outer = currentScope;
  currentScope = path;
  try {
    return build();
  } finally {
    currentScope = outer;
  }
}

/** The layer path under which nodes are being built. */
export function scopePath(): string {
  return currentScope;
}

const leafOp = (name: string): OpDef => ({
  name,
  infer: () => {
    throw new CarambaError(`${name} is a leaf`, { code: "internal" });
  },
});
const inputOp = leafOp("input");
const constantOp = leafOp("constant");
const randomOp = leafOp("random");
const variableOp = leafOp("variable");

function checkShape(name: string, shape: Shape): void {
  for (const d of shape)
    if (typeof d === "number" && !(Number.isSafeInteger(d) && d >= 0))
      throw new ShapeError(`${name} has shape ${shapeText(shape)}`, "extents are integers of at least 0");
}

/** A value fed at run time, by name. */
export function input(name: string, shape: Shape, dtype: DType = "float32"): Tensor {
  checkShape(`input "${name}"`, shape);
  return new Tensor(inputOp, [], { name }, { shape, dtype }, { kind: "input", name });
}

/** Uniform float32 numbers in [0, 1), drawn anew at each run from (seed, step, name): what dropout compares with. */
export function random(name: string, shape: Shape): Tensor {
  checkShape(`random "${name}"`, shape);
  return new Tensor(randomOp, [], { name }, { shape, dtype: "float32" }, { kind: "random", name });
}

/** @internal leaf of a Variable. */
export function variableLeaf(name: string, type: TensorType, variable: object): Tensor {
  checkShape(`variable "${name}"`, type.shape);
  return new Tensor(variableOp, [], {}, type, { kind: "variable", name, variable });
}

const smallConstants = new Map<string, Tensor>();
const smallLimit = 64;

/** Values known now. Small ones are shared by content. The array must not be changed afterwards. */
export function constant(data: HostArray, shape: readonly number[], dtype?: DType): Tensor {
  const type = dtype ?? defaultDtype(data);
  const size = shape.reduce((a, b) => a * b, 1);
  if (size !== data.length)
    throw new ShapeError(`constant of shape ${shapeText(shape)} needs ${size} values, found ${data.length}`);
  const build = () => new Tensor(constantOp, [], {}, { shape: [...shape], dtype: type }, { kind: "constant", data });
  if (data.length > smallLimit) return build();
  // Object.is distinguishes -0 from 0 in `1/x`; keep the sign in the key.
  const key = `${type}[${shape.join()}]${Array.from(data, (v) => (Object.is(v, -0) ? "-0" : v)).join()}`;
  let found = smallConstants.get(key);
  if (!found) {
    found = build();
    smallConstants.set(key, found);
  }
  return found;
}

function defaultDtype(data: HostArray): DType {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Int32Array) return "int32";
  if (data instanceof Int8Array) return "int8";
  if (data instanceof Uint16Array) return "float16";
  return "uint8";
}

/** A constant of rank 0. */
export function scalar(value: number, dtype: DType = "float32"): Tensor {
  switch (dtype) {
    case "float32":
      return constant(Float32Array.of(value), [], dtype);
    case "int32":
      return constant(Int32Array.of(value), [], dtype);
    case "bool":
      return constant(Uint8Array.of(value ? 1 : 0), [], dtype);
    case "uint8":
      return constant(Uint8Array.of(value), [], dtype);
    case "int8":
      return constant(Int8Array.of(value), [], dtype);
    case "float16":
      throw new CarambaError("a float16 scalar: cast a float32 scalar instead", { code: "dtype" });
    default:
      return dtype satisfies never;
  }
}

/** Values and type of a constant node, or undefined for any other. */
export function constantValue(t: Tensor): HostArray | undefined {
  return t.leaf?.kind === "constant" ? t.leaf.data : undefined;
}

/** The one number of a constant whose elements are all equal and few, or undefined. */
export function scalarValue(t: Tensor): number | undefined {
  const data = constantValue(t);
  return data?.length === 1 && t.dtype !== "float16" ? (data[0] as number) : undefined;
}

/** Structural key of a symbolic or static shape, for tables keyed by type. */
export function typeKey(t: TensorType): string {
  return `${t.dtype}[${t.shape.map(dimKey).join()}]`;
}
