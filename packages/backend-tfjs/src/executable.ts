// The interpreter: a prepared graph's nodes one after the other, each on its kernel, each intermediate disposed right
// after its last reader. All of a run happens in one turn of the event loop, so that runs do not meet.
import {
  type Bindings,
  CarambaError,
  constantValue,
  type DeviceBuffer,
  type Executable,
  type ExecutableInfo,
  evalShape,
  type Graph,
  leafName,
  type Tensor as Node,
  prepareGraph,
  ShapeError,
  shapeText,
} from "@caramba/tensor";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { TfjsBuffer } from "./buffer.ts";
import { claimed } from "./kernels/table.ts";
import { type KernelCall, makeTensor, sameShape, type TfDType } from "./scratch.ts";
import { callsOf, place, planSteps, runSteps, type Step } from "./steps.ts";

/** What the interpreter needs of the backend. */
export interface Host {
  readonly name: string;
  /** TensorFlow.js' name of the engine. */
  readonly engine: string;
  /** Makes the engine the active one; throws once closed. */
  activate(): void;
  own(buffer: DeviceBuffer): TfjsBuffer;
  /** The tensor of a buffer; zeros where nothing was written yet. */
  tensorOf(buffer: TfjsBuffer): Tensor;
  wrap(tensor: Tensor, shape: readonly number[], dtype: TfDType): TfjsBuffer;
}

/** Every element type that the engine lacks is an error before anything runs. */
function checkDtypes(graph: Graph, backend: string): void {
  for (const node of graph.nodes)
    if (node.dtype !== "float32" && node.dtype !== "int32" && node.dtype !== "bool")
      throw new CarambaError(
        `${node.leaf ? `${node.leaf.kind} "${leafName(node)}"` : place(node)} has dtype ${node.dtype}, which ${backend} does not have`,
        { code: "dtype", remedy: "cast to float32, int32 or bool, or use a backend whose capabilities list the dtype" },
      );
}

/** A graph ready to be interpreted. */
export class TfjsExecutable implements Executable {
  readonly info: ExecutableInfo;
  readonly #host: Host;
  readonly #original: Graph;
  readonly #graph: Graph;
  readonly #inputOrder: readonly number[];
  readonly #steps: readonly Step[];
  readonly #constants = new Map<Node, Tensor>();
  /** Attributes and shapes by bindings: graphs without free dimensions have one entry. */
  #bound: { readonly key: string; readonly calls: readonly KernelCall[] } | undefined;
  #disposed = false;

  constructor(host: Host, original: Graph) {
    const start = performance.now();
    this.#host = host;
    this.#original = original;
    const { graph, inputOrder } = prepareGraph(original, claimed);
    checkDtypes(original, host.name);
    checkDtypes(graph, host.name);
    this.#graph = graph;
    this.#inputOrder = inputOrder;
    this.#steps = planSteps(graph, host.name);
    host.activate();
    for (const node of graph.nodes) {
      const data = constantValue(node);
      // Engines in host memory keep the array they are given: the constant's own must stay as it is.
      if (data) this.#constants.set(node, makeTensor(data.slice(), node.shape as number[], node.dtype as TfDType));
    }
    this.info = { nodes: this.#steps.length, compileMs: performance.now() - start, cached: false };
  }

  async run(
    inputs: readonly DeviceBuffer[],
    into: readonly (DeviceBuffer | undefined)[] = [],
  ): Promise<DeviceBuffer[]> {
    if (this.#disposed) throw new CarambaError("this executable was disposed", { code: "disposed" });
    const host = this.#host;
    const given = inputs.map((buffer) => host.own(buffer));
    const bindings = this.#check(given);
    const outputs = this.#original.outputs;
    const targets = outputs.map((node, i) => {
      const buffer = into[i];
      if (!buffer) return undefined;
      const target = host.own(buffer);
      const shape = evalShape(node.shape, bindings);
      if (target.dtype !== node.dtype || !sameShape(target.shape, shape))
        throw new ShapeError(
          `output ${i} is ${node.dtype}${shapeText(shape)}, its buffer ${target.dtype}${shapeText(target.shape)}`,
          "allocate the buffer with the output's shape and dtype",
        );
      if (given.includes(target))
        throw new CarambaError(`the buffer of output ${i} is also an input of the run`, {
          code: "aliased-output",
          remedy: "give a separate buffer and swap afterwards",
        });
      return target;
    });
    host.activate();
    const results = this.#interpret(given, bindings);
    return results.map((tensor, i) => {
      const target = targets[i];
      const node = outputs[i] as Node;
      if (!target) return host.wrap(tensor, evalShape(node.shape, bindings), node.dtype as TfDType);
      target.put(tensor);
      return target;
    });
  }

  /** @internal tensors that live as long as this executable. */
  get heldTensors(): number {
    return this.#constants.size;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const tensor of this.#constants.values()) tensor.dispose();
    this.#constants.clear();
  }

  #check(given: readonly TfjsBuffer[]): Bindings {
    const { inputs } = this.#original;
    if (given.length !== inputs.length)
      throw new CarambaError(`${given.length} inputs were given to a graph of ${inputs.length}`, { code: "feed" });
    given.forEach((buffer, i) => {
      const leaf = inputs[i] as Node;
      if (buffer.dtype !== leaf.dtype)
        throw new ShapeError(
          `input "${leafName(leaf)}" is ${leaf.dtype}, fed a buffer of ${buffer.dtype}`,
          "feed an array of the declared dtype",
        );
    });
    return this.#original.bind(given.map((buffer) => buffer.shape));
  }

  #calls(bindings: Bindings): readonly KernelCall[] {
    const key = [...bindings].join(";");
    if (this.#bound?.key !== key)
      this.#bound = {
        key,
        calls: callsOf(this.#steps, bindings),
      };
    return this.#bound.calls;
  }

  /** Tensors of the outputs, owned by the caller. Synchronous from first kernel to last. */
  #interpret(given: readonly TfjsBuffer[], bindings: Bindings): Tensor[] {
    const host = this.#host;
    const fixed = new Map(this.#constants);
    this.#graph.inputs.forEach((leaf, i) => {
      fixed.set(leaf, host.tensorOf(given[this.#inputOrder[i] as number] as TfjsBuffer));
    });
    return runSteps(host, this.#graph, this.#steps, this.#calls(bindings), fixed);
  }
}
