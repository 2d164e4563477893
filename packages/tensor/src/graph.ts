// A Graph is a list of outputs and all that they need, in an order where inputs come first. Leaves that must be given
// at run time (inputs, variables, random draws) are its `inputs`, in order of first use: executables are positional.
import { type Bindings, bindShape, shapeText, symbolsOf } from "./dim.ts";
import { CarambaError, ShapeError } from "./errors.ts";
import { attrsKey, constantValue, type Tensor, typeKey } from "./tensor.ts";

/** Nodes reachable from `outputs`, inputs before users. Iterative: depth is not bounded by the call stack. */
export function topological(outputs: readonly Tensor[]): Tensor[] {
  const seen = new Set<Tensor>();
  const found: Tensor[] = [];
  const stack = [...outputs].reverse();
  while (stack.length > 0) {
    const node = stack.pop() as Tensor;
    if (seen.has(node)) continue;
    seen.add(node);
    found.push(node);
    stack.push(...node.inputs);
  }
  // A node's id is larger than those of its inputs.
  return found.sort((a, b) => a.id - b.id);
}

/** Whether a leaf must be given a value at run time. */
export function isFed(node: Tensor): boolean {
  return node.leaf !== undefined && node.leaf.kind !== "constant";
}

/** The name by which messages speak of a leaf. */
export function leafName(node: Tensor): string {
  return node.leaf && node.leaf.kind !== "constant" ? node.leaf.name : node.toString();
}

/** Outputs and everything below them. */
export class Graph {
  readonly outputs: readonly Tensor[];
  /** All nodes, inputs before users. */
  readonly nodes: readonly Tensor[];
  /** Leaves to be fed, in canonical order. */
  readonly inputs: readonly Tensor[];
  #hash: string | undefined;

  constructor(outputs: readonly Tensor[]) {
    this.outputs = outputs;
    this.nodes = topological(outputs);
    this.inputs = canonicalLeaves(outputs);
  }

  /**
   * Text that is equal for graphs that compute the same from leaves of the same types, whatever the leaves are called:
   * the key under which backends keep compiled sessions. Large constants enter by content.
   */
  get hash(): string {
    this.#hash ??= hashGraph(this);
    return this.#hash;
  }

  /** Sizes of the free dimensions, from the shapes of the fed values; errors name the input. */
  bind(shapes: readonly (readonly number[])[]): Bindings {
    const bindings = new Map<string, number>();
    const check = (node: Tensor, shape: readonly number[]) => {
      if (!bindShape(node.shape, shape, bindings))
        throw new ShapeError(
          `input "${leafName(node)}" has shape ${shapeText(shape)}, expected ${shapeText(node.shape)}`,
          "feed an array of the declared shape",
        );
    };
    // Twice: sums such as P+T can be checked only once every name is known.
    for (let look = 0; look < 2; look++)
      for (const [i, node] of this.inputs.entries()) check(node, shapes[i] as readonly number[]);
    for (const node of this.inputs)
      for (const name of symbolsOf(node.shape))
        if (!bindings.has(name))
          throw new CarambaError(`dimension "${name}" of input "${leafName(node)}" stays unknown`, {
            code: "dim",
            remedy: `give an input whose shape holds "${name}" alone`,
          });
    return bindings;
  }
}

/** Fed leaves by depth-first first use, which does not depend on the order in which leaves were made. */
function canonicalLeaves(outputs: readonly Tensor[]): Tensor[] {
  const seen = new Set<Tensor>();
  const leaves: Tensor[] = [];
  const stack = [...outputs].reverse();
  while (stack.length > 0) {
    const node = stack.pop() as Tensor;
    if (seen.has(node)) continue;
    seen.add(node);
    if (isFed(node)) leaves.push(node);
    for (let i = node.inputs.length - 1; i >= 0; i--) stack.push(node.inputs[i] as Tensor);
  }
  return leaves;
}

/** 128-bit FNV-style digest as text; not cryptographic, collisions are as good as impossible for a session cache. */
class Digest {
  #a = 0x811c9dc5;
  #b = 0x01000193;
  #c = 0x9e3779b9;
  #d = 0x85ebca6b;

  add(value: number): void {
    const word = value | 0;
    this.#a = Math.imul(this.#a ^ word, 0x01000193);
    this.#b = Math.imul(this.#b ^ (word + this.#a), 0x85ebca6b);
    this.#c = Math.imul((this.#c << 13) ^ (this.#c >>> 19) ^ word, 0xc2b2ae35);
    this.#d = Math.imul(this.#d + word + this.#c, 0x27d4eb2f) ^ (this.#b >>> 15);
  }

  text(value: string): void {
    for (let i = 0; i < value.length; i++) this.add(value.charCodeAt(i));
    this.add(-1);
  }

  toString(): string {
    return [this.#a, this.#b, this.#c, this.#d].map((w) => (w >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

function hashGraph(graph: Graph): string {
  const digest = new Digest();
  const number = new Map<Tensor, number>();
  const leafNumber = new Map(graph.inputs.map((leaf, i) => [leaf, i]));
  // Number nodes in depth-first order from the outputs, so that ids (history) do not matter.
  const stack: [Tensor, number][] = [...graph.outputs].reverse().map((t) => [t, 0]);
  while (stack.length > 0) {
    const top = stack[stack.length - 1] as [Tensor, number];
    const [node, next] = top;
    if (number.has(node)) {
      stack.pop();
      continue;
    }
    const child = node.inputs[next];
    if (child) {
      top[1]++;
      if (!number.has(child)) stack.push([child, 0]);
      continue;
    }
    stack.pop();
    number.set(node, number.size);
    digest.text(`${node.leaf ? node.leaf.kind : node.op.name}|${typeKey(node)}`);
    const leaf = leafNumber.get(node);
    if (leaf !== undefined) digest.add(leaf);
    else digest.text(attrsKey(node.attrs));
    const values = constantValue(node);
    if (values) {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      for (let i = 0; i < bytes.length; i++) digest.add(bytes[i] as number);
    }
    for (const input of node.inputs) digest.add(number.get(input) as number);
  }
  for (const output of graph.outputs) digest.add(number.get(output) as number);
  return digest.toString();
}
