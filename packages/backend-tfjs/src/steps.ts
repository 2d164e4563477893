// Nodes one after the other: the order of work, when a value is no longer needed, and the run itself. A loop is a step
// whose body is such a list again, gone through once per row; all members of a loop come of one pass.
import {
  type Bindings,
  CarambaError,
  constantValue,
  evalDim,
  evalShape,
  Graph,
  type LoopBody,
  loopBody,
  type Tensor as Node,
  prepareGraph,
  type SymDim,
  sameLoop,
} from "@caramba/tensor";
import type { Tensor } from "@tensorflow/tfjs-core";
import { claimed, kernels } from "./kernels/table.ts";
import { type Kernel, type KernelCall, makeTensor, Scratch, sizeOf, type TfDType } from "./scratch.ts";

/** The engine by our name and by TensorFlow.js' own. */
interface Engine {
  readonly name: string;
  readonly engine: string;
}

/** One node's work. */
export interface Step {
  readonly node: Node;
  /** Values whose last reader this is. */
  readonly release: readonly Node[];
  readonly kernel?: Kernel;
  /** Instead of a kernel: a loop, and the nodes that are members of it. */
  readonly loop?: Loop;
  readonly members?: readonly Node[];
}

interface Loop {
  readonly body: LoopBody;
  readonly graph: Graph;
  readonly steps: readonly Step[];
}

export const place = (node: Node): string => `${node.scope ? `${node.scope}: ` : ""}${node.op.name}`;

/** Attributes and shapes of steps for given sizes. */
export function callsOf(steps: readonly Step[], bindings: Bindings): KernelCall[] {
  return steps.map(({ node }) => ({
    attrs: bindAttrs(node.attrs, bindings),
    shape: evalShape(node.shape, bindings),
    dtype: node.dtype as TfDType,
  }));
}

/** Attributes with free dimensions replaced by their values. */
function bindAttrs(attrs: Node["attrs"], bindings: Bindings): KernelCall["attrs"] {
  const bind = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(bind) : value instanceof Object ? evalDim(value as SymDim, bindings) : value;
  return Object.fromEntries(Object.entries(attrs).map(([name, value]) => [name, bind(value)]));
}

/** The order of work, and after which step each value is no longer needed. */
export function planSteps(graph: Graph, backend: string): Step[] {
  const nodes = graph.nodes.filter((node) => !node.leaf);
  const lastReader = new Map<Node, Node>();
  for (const node of nodes) for (const input of node.inputs) if (!input.leaf) lastReader.set(input, node);
  const kept = new Set(graph.outputs);
  return nodes.map((node) => {
    const body = loopBody(node);
    const kernel = body ? undefined : kernels.get(node.op.name);
    if (!body && !kernel)
      throw new CarambaError(`${place(node)} has no kernel on ${backend}`, {
        code: "unsupported-op",
        remedy: "build it from the ops of @caramba/tensor",
      });
    const release = [...new Set(node.inputs)].filter((x) => lastReader.get(x) === node && !kept.has(x));
    const work = body
      ? { loop: planLoop(node, body, backend), members: sameLoop(node, nodes) }
      : { kernel: kernel as Kernel };
    return { node, release, ...work };
  });
}

function planLoop(node: Node, body: LoopBody, backend: string): Loop {
  const { graph } = prepareGraph(new Graph(body.outputs), claimed);
  if (node.dtype !== "float32") throw new CarambaError(`${place(node)}: a loop over ${node.dtype}`, { code: "dtype" });
  return { body, graph, steps: planSteps(graph, backend) };
}

/** Tensors of the graph's outputs, owned by the caller; `fixed` has those of its leaves. Synchronous from first to last. */
export function runSteps(
  host: Engine,
  graph: Graph,
  steps: readonly Step[],
  calls: readonly KernelCall[],
  fixed: Map<Node, Tensor>,
): Tensor[] {
  const live = new Map<Node, Tensor>();
  const results: Tensor[] = [];
  try {
    steps.forEach(({ node, kernel, loop, members = [], release }, i) => {
      if (!live.has(node)) {
        const inputs = node.inputs.map((input) => (live.get(input) ?? fixed.get(input)) as Tensor);
        if (loop) runLoop(host, loop, inputs, members, live);
        else live.set(node, runKernel(host, node, kernel as Kernel, inputs, calls[i] as KernelCall));
      }
      for (const done of release) {
        live.get(done)?.dispose();
        live.delete(done);
      }
    });
    const taken = new Set<Node>();
    for (const node of graph.outputs) {
      const own = taken.has(node) ? undefined : live.get(node);
      if (own) {
        taken.add(node);
        live.delete(node);
        results.push(own);
        fixed.set(node, own);
      } else {
        const scratch = new Scratch(host.engine);
        results.push(scratch.finish((live.get(node) ?? fixed.get(node)) as Tensor));
      }
    }
    return results;
  } catch (error) {
    for (const tensor of results) tensor.dispose();
    throw error;
  } finally {
    for (const tensor of live.values()) tensor.dispose();
  }
}

/** Goes through the rows and enters the values of all members into `live`. */
function runLoop(
  host: Engine,
  { body, graph, steps }: Loop,
  inputs: readonly Tensor[],
  members: readonly Node[],
  live: Map<Node, Tensor>,
): void {
  const [nc, nx] = [body.carry.length, body.xs.length];
  const rows = inputs.slice(nc, nc + nx);
  const shared = inputs.slice(nc + nx);
  const length = rows[0]?.shape[0] as number;
  const wanted = new Set(members.map((node) => node.attrs["output"] as number));
  const outer = new Scratch(host.engine);
  const constants = new Map<Node, Tensor>();
  const kept: Tensor[] = [];
  let state = inputs.slice(0, nc);
  let carried: Tensor[] = [];
  try {
    for (const node of graph.nodes) {
      const data = constantValue(node);
      if (data) constants.set(node, makeTensor(data.slice(), node.shape as number[], node.dtype as TfDType));
    }
    const rowShapes = rows.map((x) => x.shape.slice(1));
    const flat = rows.map((x, i) => outer.shaped(x, [length, sizeOf(rowShapes[i] as number[])]));
    const shapes = [...state.map((x) => x.shape), ...rowShapes, ...shared.map((x) => x.shape)];
    const leaves = [...body.carry, ...body.xs, ...body.shared];
    const bindings = graph.bind(graph.inputs.map((leaf) => shapes[leaves.indexOf(leaf)] as number[]));
    const calls = callsOf(steps, bindings);
    const stacks = new Map<number, Tensor[]>([...wanted].filter((k) => k >= nc).map((k) => [k, []]));
    for (let n = 0; n < length; n++) {
      const t = body.reverse ? length - 1 - n : n;
      const scratch = new Scratch(host.engine);
      const now = flat.map((x, i) => {
        const size = [1, x.shape[1] as number];
        const row = x.size === 0 ? x : scratch.run("Slice", { x }, { begin: [t, 0], size });
        return scratch.shaped(row, rowShapes[i] as number[]);
      });
      const given = [...state, ...now, ...shared];
      const fixed = new Map(constants);
      leaves.forEach((leaf, i) => {
        fixed.set(leaf, given[i] as Tensor);
      });
      const results = runSteps(host, graph, steps, calls, fixed);
      scratch.dispose();
      results.forEach((tensor, k) => {
        const stack = stacks.get(k);
        if (stack) stack[t] = outer.shaped(tensor, [1, tensor.size]);
        // A row of a stack is disposed with the stack, a carry as soon as the next one is there.
        if (stack) kept.push(tensor);
        else if (k >= nc) tensor.dispose();
      });
      for (const tensor of carried) tensor.dispose();
      carried = results.slice(0, nc);
      state = carried;
    }
    for (const node of members) {
      const k = node.attrs["output"] as number;
      const scratch = new Scratch(host.engine);
      if (k < nc) live.set(node, scratch.finish(state[k] as Tensor));
      else {
        const shape = [length, ...evalShape((graph.outputs[k] as Node).shape, bindings)];
        // Without elements there is nothing to join, and engines differ in what they make of that.
        const joined =
          sizeOf(shape) === 0
            ? scratch.filled(shape, 0, node.dtype as TfDType)
            : scratch.run("Concat", stacks.get(k) as Tensor[], { axis: 0 });
        live.set(node, scratch.finish(scratch.shaped(joined, shape)));
      }
    }
  } finally {
    outer.dispose();
    for (const tensor of [...kept, ...carried, ...constants.values()]) tensor.dispose();
  }
}

function runKernel(host: Engine, node: Node, kernel: Kernel, inputs: readonly Tensor[], call: KernelCall): Tensor {
  const scratch = new Scratch(host.engine);
  try {
    // Kernels differ in what they make of values without elements: none of them sees a result of that kind.
    const value = sizeOf(call.shape) === 0 ? scratch.filled(call.shape, 0, call.dtype) : kernel(scratch, inputs, call);
    return scratch.finish(value);
  } catch (cause) {
    scratch.dispose();
    const message = cause instanceof Error ? cause.message : String(cause);
    const known = cause instanceof CarambaError;
    throw new CarambaError(`${place(node)} on ${host.name}: ${message}`, {
      code: known ? cause.code : "engine",
      remedy: (known && cause.remedy) || "check the shapes that were fed",
      cause,
    });
  }
}
