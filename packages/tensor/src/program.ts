// A Program is a compiled graph with names: feeds by name, variables found by themselves, updates written back. An
// update goes to a variable's spare buffer and becomes its value only when the whole run is accepted, so that a failed
// or rejected step (a NaN loss) leaves every variable as it was.
import type { Backend, CompileOptions, DeviceBuffer, Executable, ExecutableInfo } from "./backend.ts";
import { evalShape, shapeText } from "./dim.ts";
import { type HostArray, isHostArrayOf } from "./dtype.ts";
import { defaultBackend } from "./engines.ts";
import { CarambaError, ShapeError } from "./errors.ts";
import { Graph } from "./graph.ts";
import { Philox, streamOf } from "./random.ts";
import type { Tensor } from "./tensor.ts";
import type { Variable } from "./variable.ts";

/** What to compile. */
export interface ProgramSpec {
  /** Values to return, by name. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** New values of variables, computed from the old ones. */
  readonly updates?: readonly (readonly [Variable, Tensor])[];
}

/** How to compile. */
export interface ProgramOptions extends CompileOptions {
  /** Default: the default backend. */
  readonly backend?: Backend;
}

/** A value to feed: a host array (its shape follows from the declared one), one with a shape, or a device buffer. */
export type Feed = HostArray | DeviceBuffer | { readonly data: HostArray; readonly shape: readonly number[] };

/** Of one run. */
export interface RunOptions {
  /** Key of random draws; default 0. */
  readonly seed?: number;
  /** Counter of random draws, usually the training step; default 0. */
  readonly step?: number;
  /** Buffers that receive outputs, by name. */
  readonly into?: Readonly<Record<string, DeviceBuffer>>;
  /** Decides after the run whether updates take effect; default: they do. */
  readonly accept?: (outputs: Readonly<Record<string, DeviceBuffer>>) => boolean | Promise<boolean>;
}

const isBuffer = (feed: Feed): feed is DeviceBuffer => "backend" in feed;

/** A compiled graph whose inputs and outputs have names. */
export class Program {
  readonly backend: Backend;
  readonly graph: Graph;
  readonly info: ExecutableInfo;
  readonly #executable: Executable;
  readonly #names: readonly string[];
  readonly #updates: readonly (readonly [Variable, Tensor])[];
  readonly #inputNames: ReadonlySet<string>;

  /** @internal use `compile`. */
  constructor(backend: Backend, graph: Graph, executable: Executable, spec: ProgramSpec) {
    this.backend = backend;
    this.graph = graph;
    this.info = executable.info;
    this.#executable = executable;
    this.#names = Object.keys(spec.outputs);
    this.#updates = spec.updates ?? [];
    this.#inputNames = new Set(graph.inputs.flatMap((leaf) => (leaf.leaf?.kind === "input" ? [leaf.leaf.name] : [])));
  }

  /** Runs once. Outputs are buffers of the backend; read them with `read`. */
  async run(
    feeds: Readonly<Record<string, Feed>> = {},
    options: RunOptions = {},
  ): Promise<Record<string, DeviceBuffer>> {
    for (const name of Object.keys(feeds))
      if (!this.#inputNames.has(name))
        throw new CarambaError(`there is no input "${name}"`, {
          code: "feed",
          remedy: `inputs are ${[...this.#inputNames].map((n) => `"${n}"`).join(", ") || "none"}`,
        });
    const temporary: DeviceBuffer[] = [];
    let results: DeviceBuffer[];
    try {
      results = await this.#execute(feeds, options, temporary);
    } finally {
      for (const buffer of temporary) this.backend.dispose(buffer);
    }
    const outputs = Object.fromEntries(this.#names.map((name, i) => [name, results[i] as DeviceBuffer]));
    if (this.#updates.length > 0 && (options.accept === undefined || (await options.accept(outputs))))
      this.#updates.forEach(([variable], i) => {
        variable.commit(this.backend, results[this.#names.length + i] as DeviceBuffer);
      });
    return outputs;
  }

  /** Runs and copies every output to the host. */
  async read(feeds: Readonly<Record<string, Feed>> = {}, options: RunOptions = {}): Promise<Record<string, HostArray>> {
    const outputs = await this.run(feeds, options);
    const values: Record<string, HostArray> = {};
    for (const [name, buffer] of Object.entries(outputs)) values[name] = await this.backend.read(buffer);
    for (const [name, buffer] of Object.entries(outputs)) if (!options.into?.[name]) this.backend.dispose(buffer);
    return values;
  }

  dispose(): void {
    this.#executable.dispose();
  }

  /** Gathers the inputs and runs; what was uploaded only for this run is added to `temporary`. */
  async #execute(
    feeds: Readonly<Record<string, Feed>>,
    options: RunOptions,
    temporary: DeviceBuffer[],
  ): Promise<DeviceBuffer[]> {
    const buffers: DeviceBuffer[] = [];
    for (const leaf of this.graph.inputs) buffers.push(await this.#bufferFor(leaf, feeds, options, temporary));
    const into = [
      ...this.#names.map((name) => options.into?.[name]),
      ...this.#updates.map(([variable]) => variable.spareOn(this.backend)),
    ];
    return this.#executable.run(buffers, into);
  }

  async #bufferFor(
    leaf: Tensor,
    feeds: Readonly<Record<string, Feed>>,
    options: RunOptions,
    temporary: DeviceBuffer[],
  ): Promise<DeviceBuffer> {
    const own = leaf.leaf;
    if (own?.kind === "variable") return (own.variable as Variable).bufferOn(this.backend);
    if (own?.kind === "random") {
      const shape = evalShape(leaf.shape, new Map());
      const draw = new Philox(options.seed ?? 0, streamOf(own.name) * 1048576 + ((options.step ?? 0) % 1048576));
      const values = draw.fillUniform(new Float32Array(shape.reduce((a, b) => a * b, 1)));
      const buffer = this.backend.upload(values, shape, "float32");
      temporary.push(buffer);
      return buffer;
    }
    const name = own?.kind === "input" ? own.name : "";
    const feed = feeds[name];
    if (feed === undefined)
      throw new CarambaError(`input "${name}" ${shapeText(leaf.shape)} was not fed`, {
        code: "feed",
        remedy: `pass it to run: { ${name}: array }`,
      });
    if (isBuffer(feed)) return feed;
    const { data, shape } = "data" in feed ? feed : { data: feed, shape: inferShape(leaf, feed, name) };
    if (!isHostArrayOf(data, leaf.dtype))
      throw new ShapeError(`input "${name}" is ${leaf.dtype}, fed ${data.constructor.name}`);
    if (shape.reduce((a, b) => a * b, 1) !== data.length)
      throw new ShapeError(`input "${name}": ${data.length} values do not fill ${shapeText(shape)}`);
    const buffer = this.backend.upload(data, shape, leaf.dtype);
    temporary.push(buffer);
    return buffer;
  }
}

/** The shape of a bare array: the declared one, with at most one symbolic extent found from the length. */
function inferShape(leaf: Tensor, data: HostArray, name: string): number[] {
  const free = leaf.shape.filter((d) => typeof d !== "number");
  const known = leaf.shape.reduce<number>((product, d) => (typeof d === "number" ? product * d : product), 1);
  if (free.length === 0 && known === data.length) return leaf.shape as number[];
  if (free.length === 1 && known > 0 && data.length % known === 0)
    return leaf.shape.map((d) => (typeof d === "number" ? d : data.length / known));
  throw new ShapeError(
    `input "${name}" is ${shapeText(leaf.shape)}, fed ${data.length} values`,
    "feed { data, shape } when several extents are free",
  );
}

/** Compiles named outputs, and updates of variables, into a Program. */
export async function compile(spec: ProgramSpec, options: ProgramOptions = {}): Promise<Program> {
  const backend = options.backend ?? (await defaultBackend());
  const updates = spec.updates ?? [];
  const updated = new Set<Variable>();
  for (const [variable, value] of updates) {
    if (updated.has(variable))
      throw new CarambaError(`"${variable.name}" is updated twice`, { code: "update", remedy: "give one update each" });
    updated.add(variable);
    if (shapeText(variable.shape) !== shapeText(value.shape) || variable.dtype !== value.dtype)
      throw new ShapeError(`the update of "${variable.name}" is ${value}, expected ${variable.tensor}`);
  }
  const graph = new Graph([...Object.values(spec.outputs), ...updates.map(([, value]) => value)]);
  return new Program(backend, graph, await backend.compile(graph, options), spec);
}
