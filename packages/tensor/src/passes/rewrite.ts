// The one way to transform a graph: walk it from the leaves, hand each node its new inputs, and take what comes back.
// Because nodes are hash-consed, a part that does not change stays the very same nodes.
import { topological } from "../graph.ts";
import { atScope, makeNode, type Tensor } from "../tensor.ts";

/** Replacement for a node given its rewritten inputs; undefined keeps the op. */
export type Rule = (node: Tensor, inputs: readonly Tensor[]) => Tensor | undefined;

export interface Rewritten {
  readonly outputs: readonly Tensor[];
  /** The node that stands for an original one; itself when it was not part of the graph. */
  readonly map: (node: Tensor) => Tensor;
}

/** Rebuilds `outputs` with `rule` applied once to every node, inputs first. */
export function rewrite(outputs: readonly Tensor[], rule: Rule): Rewritten {
  const made = new Map<Tensor, Tensor>();
  const map = (node: Tensor) => made.get(node) ?? node;
  for (const node of topological(outputs)) {
    const inputs = node.inputs.map(map);
    const fresh = atScope(node.scope, () => rule(node, inputs));
    if (fresh) made.set(node, fresh);
    else if (inputs.some((input, i) => input !== node.inputs[i]))
      made.set(
        node,
        atScope(node.scope, () => makeNode(node.op, inputs, node.attrs)),
      );
  }
  return { outputs: outputs.map(map), map };
}
