// A compiled graph at work. Checks what is fed, hands ORT the live arrays, and wraps what comes back. Between runs it
// keeps the objects that carry names to ORT, because a decode step is short enough for them to matter.
import {
  allocHost,
  type Bindings,
  CarambaError,
  type DeviceBuffer,
  type Dim,
  type Executable,
  type ExecutableInfo,
  evalDim,
  evalShape,
  type Graph,
  leafName,
  type Shape,
  ShapeError,
  shapeText,
  staticShape,
} from "@caramba/tensor";
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { hostArrayOf, OnnxBuffer, ownBuffer, sameShape } from "./buffer.ts";
import { runError } from "./errors.ts";
import { finale, type Plan, type PlannedOutput } from "./plan.ts";

/**
 * From this many bytes of outputs on, results are not handed over by ORT but found in the buffers it wrote.
 *
 * onnxruntime-node 1.30 copies every output into a new ArrayBuffer, the preallocated ones too: a training step would
 * copy all its parameters and optimizer states, and touch as much fresh memory. It converts outputs in order after the
 * run is over, and throws at one that is no tensor. So the model's first output is a sequence (`finale`): when it is
 * asked for, the run completes, every preallocated buffer is written, and that error says so.
 */
const handOverLimit = 2 ** 18;
const finished = /Non tensor type is temporarily not supported/;

const noBindings: Bindings = new Map();

/** Sizes that are known before a run, or undefined. */
interface Target extends PlannedOutput {
  readonly staticShape: readonly number[] | undefined;
  readonly staticHeld: readonly number[] | undefined;
}

export class OnnxExecutable implements Executable {
  readonly info: ExecutableInfo;
  readonly #backend: string;
  readonly #session: InferenceSession;
  readonly #graph: Graph;
  readonly #plan: Plan;
  readonly #targets: readonly Target[];
  readonly #shapes: readonly (readonly number[] | undefined)[];
  readonly #symbolic: boolean;
  readonly #feeds: Record<string, OrtTensor> = {};
  readonly #release: () => void;
  /** Compiles this graph for sizes that are known, needed for extents of 0. */
  readonly #specialise: (bindings: Bindings) => Promise<Executable>;
  #boundKey = "";
  #bindings: Bindings = noBindings;
  #busy = false;
  #disposed = false;

  constructor(
    backend: string,
    session: InferenceSession,
    graph: Graph,
    plan: Plan,
    info: ExecutableInfo,
    release: () => void,
    specialise: (bindings: Bindings) => Promise<Executable>,
  ) {
    this.#specialise = specialise;
    this.#backend = backend;
    this.#session = session;
    this.#graph = graph;
    this.#plan = plan;
    this.info = info;
    this.#release = release;
    this.#shapes = graph.inputs.map((leaf) => staticShape(leaf.shape));
    this.#symbolic = this.#shapes.includes(undefined);
    this.#targets = plan.outputs.map((output) => ({
      ...output,
      staticShape: staticShape(output.shape),
      staticHeld: staticShape(output.held),
    }));
  }

  async run(inputs: readonly DeviceBuffer[], into?: readonly (DeviceBuffer | undefined)[]): Promise<DeviceBuffer[]> {
    if (this.#disposed) throw new CarambaError("this executable was disposed", { code: "disposed" });
    const given = inputs.map((buffer) => ownBuffer(buffer, this.#backend));
    this.#checkInputs(given);
    if (this.#symbolic && [...this.#bindings.values()].includes(0)) {
      const executable = await this.#specialise(this.#bindings);
      try {
        return await executable.run(inputs, into);
      } finally {
        executable.dispose();
      }
    }
    const { inputOrder } = this.#plan;
    // session.run looks at the feeds only on the next turn of the event loop: a second run must not share them.
    const feeds = this.#busy ? {} : this.#feeds;
    for (let i = 0; i < inputOrder.length; i++) feeds[`x${i}`] = (given[inputOrder[i] as number] as OnnxBuffer).tensor;
    const targets = this.#targets.map((target, i) => {
      const buffer = into?.[i];
      return buffer ? this.#checkTarget(ownBuffer(buffer, this.#backend), target) : undefined;
    });
    const bytes = targets.reduce((sum, buffer) => sum + (buffer?.host.byteLength ?? 0), 0);
    const quiet = this.#plan.ending && bytes >= handOverLimit;
    if (quiet)
      this.#targets.forEach((target, i) => {
        const shape = target.staticShape ?? evalShape(target.shape, this.#bindings);
        const size = shape.reduce((a, b) => a * b, 1);
        targets[i] ??= new OnnxBuffer(this.#backend, allocHost(target.dtype, size), shape as number[], target.dtype);
      });
    if (into) refuseOverlap(given, targets);
    const fetches: Record<string, OrtTensor | null> = {};
    this.#targets.forEach((target, i) => {
      fetches[target.name] = targets[i]?.tensorAs(target.staticHeld ?? evalShape(target.held, this.#bindings)) ?? null;
    });
    if (quiet) fetches[finale] = null;
    const bindings = this.#bindings;
    const results = await this.#execute(feeds, fetches);
    return this.#targets.map((target, i) => {
      const known = targets[i];
      if (known) return known;
      const tensor = results[target.name] as OrtTensor;
      const shape = target.staticShape ?? evalShape(target.shape, bindings);
      const own = sameShape(shape, tensor.dims) ? tensor : undefined;
      return new OnnxBuffer(this.#backend, hostArrayOf(tensor, target.dtype), shape, target.dtype, own);
    });
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#release();
  }

  async #execute(
    feeds: Record<string, OrtTensor>,
    fetches: Record<string, OrtTensor | null>,
  ): Promise<InferenceSession.OnnxValueMapType> {
    const first = !this.#busy;
    this.#busy = true;
    try {
      return await this.#session.run(feeds, fetches);
    } catch (cause) {
      if (finale in fetches && finished.test(String(cause))) return {};
      throw runError(cause, this.#backend);
    } finally {
      if (first) this.#busy = false;
    }
  }

  /** Shapes, dtypes and index ranges of the inputs; learns the free sizes. */
  #checkInputs(given: readonly OnnxBuffer[]): void {
    const { inputs } = this.#graph;
    let key = "";
    let fits = given.length === inputs.length;
    for (let i = 0; i < given.length && fits; i++) {
      const buffer = given[i] as OnnxBuffer;
      const leaf = inputs[i] as Graph["inputs"][number];
      if (buffer.dtype !== leaf.dtype)
        throw new ShapeError(
          `input "${leafName(leaf)}" is ${leaf.dtype}, fed a buffer of ${buffer.dtype}`,
          "feed an array of the declared dtype",
        );
      const known = this.#shapes[i];
      if (known) fits = sameShape(known, buffer.shape);
      else key += `${buffer.shape.join()};`;
    }
    if (given.length !== inputs.length)
      throw new CarambaError(`${given.length} inputs were given to a graph of ${inputs.length}`, { code: "feed" });
    if (!fits || (this.#symbolic && key !== this.#boundKey)) {
      this.#bindings = this.#graph.bind(given.map((buffer) => buffer.shape));
      this.#boundKey = key;
    }
    for (const { input, limit, reader } of this.#plan.ranges) {
      const extent = typeof limit === "number" ? limit : evalDim(limit as Dim, this.#bindings);
      const data = (given[input] as OnnxBuffer).host;
      for (let i = 0; i < data.length; i++) {
        const index = data[i] as number;
        if (index < 0 || index >= extent)
          throw new CarambaError(
            `${reader}: index ${index} at position ${i} of "${leafName(inputs[input] as Graph["inputs"][number])}" is outside [0, ${extent})`,
            { code: "index", remedy: "check the token ids against the vocabulary size" },
          );
      }
    }
  }

  #checkTarget(buffer: OnnxBuffer, target: Target): OnnxBuffer {
    const shape: Shape = target.staticShape ?? evalShape(target.shape, this.#bindings);
    if (buffer.dtype !== target.dtype || !sameShape(buffer.shape, shape as readonly number[]))
      throw new ShapeError(
        `output ${target.name.slice(1)} is ${target.dtype}${shapeText(shape)}, its buffer ${buffer.dtype}${shapeText(buffer.shape)}`,
        "allocate the buffer with the output's shape and dtype",
      );
    return buffer;
  }
}

/** ORT would write results while it still reads the input: wrong numbers without an error. */
function refuseOverlap(inputs: readonly OnnxBuffer[], targets: readonly (OnnxBuffer | undefined)[]): void {
  const written = new Map<ArrayBufferLike, OnnxBuffer[]>();
  const clash = (a: OnnxBuffer, b: OnnxBuffer) =>
    a.host.byteOffset < b.host.byteOffset + b.host.byteLength &&
    b.host.byteOffset < a.host.byteOffset + a.host.byteLength;
  const refuse = (what: string): never => {
    throw new CarambaError(`an output buffer is also ${what}`, {
      code: "aliased-output",
      remedy: "give a separate buffer and swap afterwards",
    });
  };
  for (const target of targets) {
    if (!target) continue;
    const same = written.get(target.host.buffer);
    if (!same) written.set(target.host.buffer, [target]);
    else if (same.some((other) => clash(other, target))) refuse("the buffer of another output");
    else same.push(target);
  }
  for (const input of inputs)
    if (written.get(input.host.buffer)?.some((target) => clash(target, input))) refuse("an input of the run");
}
