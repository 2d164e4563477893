// What a graph needs while it runs: bytes of intermediate values alive at once when nodes run in graph order and each
// is freed after its last use. Leaves and outputs are the caller's and not counted; an estimate for any engine, which
// may order otherwise or work in place.
//
// A loop makes all its members in one go: stacked rows are written in place, and while it runs there are also the
// carries that a step reads, those that it writes, and the intermediate values of one step.
import { type Bindings, evalDim, evalShape } from "./dim.ts";
import { dtypeBytes } from "./dtype.ts";
import { Graph } from "./graph.ts";
import { type LoopBody, loopBody, sameLoop, stepSizes } from "./ops/scan-body.ts";
import type { Tensor } from "./tensor.ts";

/** Ops whose result shares the storage of their first input in every engine. */
const views = new Set(["reshape", "after"]);

const storageOf = (node: Tensor): Tensor => {
  let at = node;
  while (views.has(at.op.name)) at = at.inputs[0] as Tensor;
  return at;
};

const bytesOf = (node: Tensor, bindings: Bindings): number =>
  evalShape(node.shape, bindings).reduce((a, b) => a * b, 1) * dtypeBytes(node.dtype);

/** Most bytes of intermediate values alive at one time. */
export function peakLiveBytes(graph: Graph, bindings: Bindings = new Map()): number {
  const lastUse = new Map<Tensor, number>();
  graph.nodes.forEach((node, i) => {
    for (const input of node.inputs) lastUse.set(storageOf(input), i);
  });
  const free = new Map<number, number>();
  const outputs = new Set(graph.outputs.map(storageOf));
  const made = new Set<Tensor>();
  let [alive, peak] = [0, 0];
  const make = (node: Tensor, i: number): void => {
    made.add(node);
    if (outputs.has(node)) return;
    const bytes = bytesOf(node, bindings);
    const end = lastUse.get(node) ?? i;
    alive += bytes;
    free.set(end, (free.get(end) ?? 0) + bytes);
  };
  graph.nodes.forEach((node, i) => {
    if (!node.leaf && storageOf(node) === node && !made.has(node)) {
      const body = loopBody(node);
      const members = body ? sameLoop(node, graph.nodes) : [node];
      const carried = (member: Tensor) => (member.attrs["output"] as number) < (body?.stackedFrom ?? 0);
      for (const member of members) if (!carried(member)) make(member, i);
      if (body) peak = Math.max(peak, alive + loopBytes(node, body, members, bindings));
      for (const member of members) if (!made.has(member)) make(member, i);
    }
    peak = Math.max(peak, alive);
    alive -= free.get(i) ?? 0;
  });
  return peak;
}

/** Bytes that only the running of a loop needs: two sets of carries and the peak of one step. */
function loopBytes(node: Tensor, body: LoopBody, members: readonly Tensor[], bindings: Bindings): number {
  const nc = body.carry.length;
  const sizes = new Map<string, number>(bindings);
  for (const [name, size] of stepSizes(body, node.inputs)) sizes.set(name, evalDim(size, bindings));
  const asked = members.map((member) => member.attrs["output"] as number).filter((k) => k >= nc);
  const step = new Graph([...body.outputs.slice(0, nc), ...asked.map((k) => body.outputs[k] as Tensor)]);
  const carries = body.carry.reduce((sum, leaf) => sum + bytesOf(leaf, sizes), 0);
  return 2 * carries + peakLiveBytes(step, sizes);
}
