// A graph with its free dimensions filled in. Needed where ORT cannot follow a free dimension: its products divide by
// zero, and end the process, when an extent turns out to be 0 at run time (a cache without rows). Known zeros never
// reach a kernel.
import {
  type Attrs,
  type AttrValue,
  type Bindings,
  evalDim,
  evalShape,
  Graph,
  input,
  isFed,
  leafName,
  makeNode,
  rewrite,
  SymDim,
  staticShape,
} from "@caramba/tensor";

function bound(value: AttrValue, bindings: Bindings): AttrValue {
  if (value instanceof SymDim) return evalDim(value, bindings);
  return Array.isArray(value) ? (value as AttrValue[]).map((item) => bound(item, bindings)) : value;
}

/** The same graph for given sizes; inputs keep their order. */
export function specialise(graph: Graph, bindings: Bindings): Graph {
  const { outputs } = rewrite(graph.outputs, (node, inputs) => {
    if (isFed(node))
      return staticShape(node.shape) ? undefined : input(leafName(node), evalShape(node.shape, bindings), node.dtype);
    if (node.leaf) return undefined;
    const attrs: Attrs = Object.fromEntries(
      Object.entries(node.attrs).map(([name, value]) => [name, bound(value, bindings)]),
    );
    return makeNode(node.op, inputs, attrs);
  });
  return new Graph(outputs);
}
