// Arithmetic of a graph: floating-point operations of its products, a multiply-add counting two.
import { addDims, type Bindings, type Dim, evalDim } from "./dim.ts";
import type { Graph } from "./graph.ts";
import { loopBody } from "./ops/scan-body.ts";

/** Floating-point operations of one run of the graph, elementwise work left out. */
export function graphFlops(graph: Graph, bindings: Bindings = new Map()): number {
  return evalDim(symbolicFlops(graph), bindings);
}

/** The same as a dimension: free sizes stay open. */
export function symbolicFlops(graph: Graph): Dim {
  let total: Dim = 0;
  // The members of one loop are one run of it.
  const loops = new Set<string>();
  for (const node of graph.nodes) {
    if (!node.op.flops) continue;
    if (loopBody(node)) {
      const key = `${node.attrs["body"]}(${node.inputs.map((x) => x.id).join()})`;
      if (loops.has(key)) continue;
      loops.add(key);
    }
    total = addDims(total, node.op.flops(node.inputs, node.attrs, node));
  }
  return total;
}
