// Rematerialisation (activation checkpointing; Chen et al., "Training deep nets with sublinear memory cost", 2016) as a
// pass over a loss and its gradients. Forward nodes belong to segments (transformer blocks); only what leaves a segment
// is kept, and what the backward pass needs from inside is computed again from what entered. The second computation
// waits for the gradient that arrives at the segment (`after`), so that its values live only then.
import { after } from "../composites/after.ts";
import { topological } from "../graph.ts";
import { atScope, makeNode, type Tensor } from "../tensor.ts";

/** A loss and gradients that share its nodes. */
export interface LossAndGrads {
  readonly value: Tensor;
  readonly grads: readonly Tensor[];
}

/** The segment of a forward node by the scope that built it; undefined: always kept. */
export type SegmentOf = (scope: string) => string | undefined;

/** The same loss and gradients with the insides of segments recomputed. Values do not change. */
export function rematerialize({ value, grads }: LossAndGrads, segmentOf: SegmentOf): LossAndGrads {
  const forward = new Set(topological([value]));
  const segment = (node: Tensor): string | undefined => (node.leaf ? undefined : segmentOf(node.scope));
  const kept = new Set<Tensor>([value]);
  for (const node of forward) for (const input of node.inputs) if (segment(input) !== segment(node)) kept.add(input);
  const inside = (node: Tensor): boolean =>
    forward.has(node) && !kept.has(node) && node.leaf === undefined && segment(node) !== undefined;
  const order = topological(grads);
  const triggers = findTriggers(order, forward, inside, segment);

  const made = new Map<Tensor, Tensor>();
  const map = (node: Tensor): Tensor => made.get(node) ?? node;
  const clones = new Map<Tensor, Tensor>();
  const clone = (node: Tensor): Tensor => {
    const known = clones.get(node);
    if (known) return known;
    const trigger = triggers.get(segment(node) as string);
    // A leaf or a constant is at hand anyway; what entered the segment is awaited.
    const inputs = node.inputs.map((input) =>
      inside(input) ? clone(input) : input.leaf || !trigger ? input : after(input, map(trigger)),
    );
    const copy = atScope(node.scope, () => makeNode(node.op, inputs, node.attrs));
    clones.set(node, copy);
    return copy;
  };
  for (const node of order) {
    if (forward.has(node) || node.leaf) continue;
    const inputs = node.inputs.map((input) =>
      inside(input) && triggers.has(segment(input) as string) ? clone(input) : map(input),
    );
    if (inputs.some((input, i) => input !== node.inputs[i]))
      made.set(
        node,
        atScope(node.scope, () => makeNode(node.op, inputs, node.attrs)),
      );
  }
  return { value, grads: grads.map(map) };
}

/** For each segment, the gradient that its first backward node is given. */
function findTriggers(
  order: readonly Tensor[],
  forward: ReadonlySet<Tensor>,
  inside: (node: Tensor) => boolean,
  segment: (node: Tensor) => string | undefined,
): Map<string, Tensor> {
  const triggers = new Map<string, Tensor>();
  for (const node of order) {
    if (forward.has(node)) continue;
    for (const input of node.inputs) {
      const name = inside(input) ? segment(input) : undefined;
      if (name === undefined || triggers.has(name)) continue;
      const arriving = node.inputs.find((other) => !forward.has(other) && !other.leaf);
      if (arriving) triggers.set(name, arriving);
    }
  }
  return triggers;
}
