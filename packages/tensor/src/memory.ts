// What a graph needs while it runs: bytes of intermediate values alive at once when nodes run in graph order and each
// is freed after its last use. Leaves and outputs are the caller's and not counted; an estimate for any engine, which
// may order otherwise or work in place.
import { type Bindings, evalShape } from "./dim.ts";
import { dtypeBytes } from "./dtype.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** Ops whose result shares the storage of their first input in every engine. */
const views = new Set(["reshape", "after"]);

const storageOf = (node: Tensor): Tensor => {
  let at = node;
  while (views.has(at.op.name)) at = at.inputs[0] as Tensor;
  return at;
};

/** Most bytes of intermediate values alive at one time. */
export function peakLiveBytes(graph: Graph, bindings: Bindings = new Map()): number {
  const lastUse = new Map<Tensor, number>();
  graph.nodes.forEach((node, i) => {
    for (const input of node.inputs) lastUse.set(storageOf(input), i);
  });
  const free = new Map<number, number>();
  const outputs = new Set(graph.outputs.map(storageOf));
  let [alive, peak] = [0, 0];
  graph.nodes.forEach((node, i) => {
    if (!node.leaf && storageOf(node) === node && !outputs.has(node)) {
      const bytes = evalShape(node.shape, bindings).reduce((a, b) => a * b, 1) * dtypeBytes(node.dtype);
      const end = lastUse.get(node) ?? i;
      alive += bytes;
      free.set(end, (free.get(end) ?? 0) + bytes);
    }
    peak = Math.max(peak, alive);
    alive -= free.get(i) ?? 0;
  });
  return peak;
}
