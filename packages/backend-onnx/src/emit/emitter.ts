// What an op's emitter writes into: names of values that exist, nodes, constants, and shapes that are only known at run
// time. Emitters take a tensor of the graph and return the name of the ONNX value that holds it. They may look past
// their inputs (a matmul reads through a transpose); what nobody reads in the end is dropped by `finish`.
import {
  CarambaError,
  composites,
  type Dim,
  dimKey,
  type HostArray,
  type Shape,
  SymDim,
  shapeEquals,
  staticShape,
  sym,
  type Tensor,
} from "@caramba/tensor";
import { type OnnxAttrs, type OnnxInitializer, type OnnxNode, type OnnxType, onnxTypeCode } from "../onnx-model.ts";

/** Execution provider, where it decides which kernels exist. */
export type Device = "cpu" | "cuda" | "webgpu" | "dml" | "coreml";

/** What a model is written for: a device of ORT, or any runtime that knows the standard operators. */
export type Dialect = Device | "standard";

/** Writes one op and returns the name of its value. */
export type Emit = (e: Emitter, node: Tensor) => string;

/** Composites whose kernel is ORT's own and no operator of the ONNX standard. */
const notStandard: readonly string[] = ["rmsNorm", "rope", "silu"];

/** Composites that a dialect writes as they are, of those in the table. */
export function claimedOf(table: ReadonlyMap<string, Emit>, device: Dialect): readonly string[] {
  const names = composites.map((op) => op.name).filter((name) => table.has(name));
  return device === "standard" ? names.filter((name) => !notStandard.includes(name)) : names;
}

/** Names that a node reads, those that the body of a loop reads from outside among them. */
function namesRead(node: OnnxNode): string[] {
  const inside = Object.values(node.attrs).flatMap((value) =>
    typeof value === "object" && "body" in value
      ? [...value.body.nodes.flatMap(namesRead), ...value.body.outputs.map(({ name }) => name)]
      : [],
  );
  return [...node.inputs, ...inside];
}

const bytesOf = (data: HostArray): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("latin1");

/** Builds the node list of a model. */
export class Emitter {
  readonly device: Dialect;
  /** Every node of the graph, for emitters that fuse with neighbours. */
  readonly nodes: readonly Tensor[];
  readonly #table: ReadonlyMap<string, Emit>;
  readonly #names = new Map<Tensor, string>();
  /** Shapes of values, and what reshaped ones were made from. */
  readonly #shapes = new Map<string, Shape>();
  readonly #reshaped = new Map<string, string>();
  readonly #users = new Map<Tensor, Tensor[]>();
  readonly #written: OnnxNode[] = [];
  readonly #initializers = new Map<string, OnnxInitializer>();
  readonly #made = new Map<string, string>();
  readonly #constants = new Map<string, string>();
  readonly #dims = new Map<string, string>();
  /** Where the value of each free size can be read: an input's name and axis. */
  readonly #sources: ReadonlyMap<string, { readonly name: string; readonly axis: number }>;
  /** The emitter of the graph around a loop's body: values have names of their own, sizes may be read outside. */
  readonly #around: Emitter | undefined;
  /** What every name made here begins with, and no other. */
  readonly #prefix: string;
  #current: Tensor | undefined;
  #count = 0;

  constructor(
    nodes: readonly Tensor[],
    table: ReadonlyMap<string, Emit>,
    device: Dialect,
    leaves: ReadonlyMap<Tensor, string>,
    prefix = "",
    around?: Emitter,
  ) {
    this.#around = around;
    this.#prefix = prefix;
    this.nodes = nodes;
    this.#table = table;
    this.device = device;
    const sources = new Map<string, { name: string; axis: number }>();
    for (const [leaf, name] of leaves) {
      this.define(leaf, name);
      leaf.shape.forEach((d, axis) => {
        if (d instanceof SymDim && d.symbol !== undefined && !sources.has(d.symbol))
          sources.set(d.symbol, { name, axis });
      });
    }
    this.#sources = sources;
    for (const node of nodes)
      for (const input of new Set(node.inputs)) {
        const users = this.#users.get(input);
        if (users) users.push(node);
        else this.#users.set(input, [node]);
      }
  }

  /** Composites that are written as they are. */
  get claimed(): readonly string[] {
    return claimedOf(this.#table, this.device);
  }

  /** An emitter for the body of a loop in this graph; `leaves` name what it is given. */
  inner(nodes: readonly Tensor[], leaves: ReadonlyMap<Tensor, string>): Emitter {
    return new Emitter(nodes, this.#table, this.device, leaves, this.unique(), this);
  }

  /** Text that no name of this model begins with. */
  unique(): string {
    return `${this.#prefix}b${this.#count++}_`;
  }

  /** The value of a tensor, emitted first when that has not happened. */
  value(t: Tensor): string {
    const known = this.#names.get(t);
    if (known !== undefined) return known;
    const emit = this.#table.get(t.op.name);
    if (!emit) throw new Error(`no ONNX emitter for ${t.op.name}`);
    const outer = this.#current;
    this.#current = t;
    const name = emit(this, t);
    this.#current = outer;
    this.#names.set(t, name);
    this.describe(name, t.shape);
    return name;
  }

  /** The values of a node's inputs. */
  values(t: Tensor): string[] {
    return t.inputs.map((input) => this.value(input));
  }

  /** Lets `name` stand for a tensor from here on (one node that yields several of them). */
  define(t: Tensor, name: string): void {
    this.#names.set(t, name);
    this.describe(name, t.shape);
  }

  /** Notes the shape of a value that is no tensor of the graph. */
  describe(name: string, shape: Shape): void {
    if (!this.#shapes.has(name)) this.#shapes.set(name, shape);
  }

  /**
   * The value to hand out for an output: what a final reshape was made from, since ORT would copy it. Values are the
   * same in memory; the shape is the one that ORT will report.
   */
  output(t: Tensor): { name: string; shape: Shape } {
    let name = this.value(t);
    for (;;) {
      const source = this.#reshaped.get(name);
      if (source === undefined || !this.#shapes.has(source)) break;
      name = source;
    }
    return { name, shape: this.#shapes.get(name) ?? t.shape };
  }

  /** Nodes that read a tensor. */
  users(t: Tensor): readonly Tensor[] {
    return this.#users.get(t) ?? [];
  }

  /** Adds a node with one output, or finds the one that computes the same (optimizer factors, shapes). */
  node(op: string, inputs: readonly string[], attrs: OnnxAttrs = {}, domain = ""): string {
    const key = `${domain}:${op}(${inputs.join()})${JSON.stringify(attrs)}`;
    let name = this.#made.get(key);
    if (name === undefined) {
      name = this.split(op, inputs, 1, attrs, domain)[0] as string;
      this.#made.set(key, name);
    }
    return name;
  }

  /** Adds a node of ORT's own operator set with one output. */
  contrib(op: string, inputs: readonly string[], attrs: OnnxAttrs = {}): string {
    return this.node(op, inputs, attrs, "com.microsoft");
  }

  /** Adds a node with several outputs. */
  split(op: string, inputs: readonly string[], count: number, attrs: OnnxAttrs = {}, domain = ""): string[] {
    const outputs = Array.from({ length: count }, () => `${this.#prefix}t${this.#count++}`);
    const at = this.#current;
    const name = `${at?.scope ?? ""}/${at?.op.name ?? op}#${this.#written.length}`;
    this.#written.push({ name, op, domain, inputs, outputs, attrs });
    return outputs;
  }

  /** A constant; equal small ones are shared. */
  constant(dtype: OnnxType, dims: readonly number[], data: HostArray | BigInt64Array): string {
    const key = data.length <= 64 ? `${dtype}[${dims.join()}]${bytesOf(data as HostArray)}` : undefined;
    const known = key === undefined ? undefined : this.#constants.get(key);
    if (known !== undefined) return known;
    const name = `${this.#prefix}c${this.#count++}`;
    this.#initializers.set(name, { name, dtype, dims, data });
    if (key !== undefined) this.#constants.set(key, name);
    return name;
  }

  /** A float32 scalar constant. */
  float(value: number): string {
    return this.constant("float32", [], Float32Array.of(value));
  }

  /** A list of int64 numbers: axes, shapes. */
  ints(values: readonly number[]): string {
    return this.constant("int64", [values.length], BigInt64Array.from(values, BigInt));
  }

  /** Another element type. */
  cast(value: string, to: OnnxType): string {
    return this.node("Cast", [value], { to: onnxTypeCode(to) });
  }

  /** A dimension as an int64 list of one. */
  dim(d: Dim): string {
    if (typeof d === "number") return this.ints([d]);
    const known = this.#dims.get(d.key);
    if (known !== undefined) return known;
    let total: string | undefined;
    for (const [product, factor] of d.terms) {
      let term = factor === 1 && product !== "" ? undefined : this.ints([factor]);
      for (const name of product.split("*").filter(Boolean)) {
        const size = this.#symbol(name);
        term = term === undefined ? size : this.node("Mul", [term, size]);
      }
      total = total === undefined ? term : this.node("Add", [total, term as string]);
    }
    this.#dims.set(d.key, total as string);
    return total as string;
  }

  /** A shape as an int64 list. `infer`: one symbolic extent may be left to Reshape as -1. */
  shape(shape: Shape, infer = false): string {
    const known = staticShape(shape);
    if (known) return this.ints(known);
    const free = shape.filter((d) => typeof d !== "number").length;
    if (infer && free === 1 && !shape.includes(0)) return this.ints(shape.map((d) => (typeof d === "number" ? d : -1)));
    const key = `[${shape.map(dimKey).join()}]`;
    const made = this.#dims.get(key);
    if (made !== undefined) return made;
    const name = this.node(
      "Concat",
      shape.map((d) => this.dim(d)),
      { axis: 0 },
    );
    this.#dims.set(key, name);
    return name;
  }

  /** Same values under another shape. */
  reshape(value: string, shape: Shape): string {
    // Of a chain of reshapes only the last counts: in a decode step a node costs more than its arithmetic.
    const source = this.#reshaped.get(value) ?? value;
    const known = this.#shapes.get(source);
    if (known && shapeEquals(known, shape)) return source;
    // allowzero: a 0 in the shape means an empty axis, not "copy the input's".
    const name = this.node("Reshape", [source, this.shape(shape, true)], shape.includes(0) ? { allowzero: 1 } : {});
    this.#reshaped.set(name, source);
    return name;
  }

  /**
   * Writes an elementwise op on its operands as they were before a common reshape, and reshapes the result instead. A
   * reshape moves on until it meets its inverse and both vanish: half of the nodes of a decode step would be reshapes.
   */
  elementwise(t: Tensor, operands: readonly Tensor[], write: (values: string[]) => string): string {
    const full = (x: Tensor) => shapeEquals(x.shape, t.shape);
    const sources = operands.filter(full).map((x) => this.source(x));
    const shape = sources.find((s) => !shapeEquals(s.shape, t.shape))?.shape;
    const together =
      shape !== undefined &&
      sources.every((s) => shapeEquals(s.shape, shape)) &&
      operands.every((x) => full(x) || x.rank === 0);
    if (!together) return write(operands.map((x) => this.value(x)));
    const name = write(operands.map((x) => (full(x) ? this.source(x).name : this.value(x))));
    this.describe(name, shape);
    return this.reshape(name, t.shape);
  }

  /** What a tensor's value was reshaped from; the value itself where it was not. */
  source(t: Tensor): { name: string; shape: Shape } {
    const name = this.value(t);
    const from = this.#reshaped.get(name);
    const shape = from === undefined ? undefined : this.#shapes.get(from);
    return from !== undefined && shape ? { name: from, shape } : { name, shape: t.shape };
  }

  /** Nodes and constants that `outputs` depend on. */
  finish(outputs: readonly string[]): { nodes: OnnxNode[]; initializers: OnnxInitializer[] } {
    const needed = new Set(outputs);
    const nodes: OnnxNode[] = [];
    for (let i = this.#written.length - 1; i >= 0; i--) {
      const node = this.#written[i] as OnnxNode;
      if (!node.outputs.some((name) => needed.has(name))) continue;
      for (const name of namesRead(node)) needed.add(name);
      nodes.push(node);
    }
    return {
      nodes: nodes.reverse(),
      initializers: [...this.#initializers.values()].filter(({ name }) => needed.has(name)),
    };
  }

  #symbol(name: string): string {
    const source = this.#sources.get(name);
    if (!source && this.#around) return this.#around.dim(sym(name));
    if (!source)
      throw new CarambaError(`dimension "${name}" has no value: it is not an extent of any input`, {
        code: "dim",
        remedy: `give an input whose shape holds "${name}" alone`,
      });
    const key = `<${name}>`;
    let value = this.#dims.get(key);
    if (value === undefined) {
      value = this.node("Shape", [source.name], { start: source.axis, end: source.axis + 1 });
      this.#dims.set(key, value);
    }
    return value;
  }
}
