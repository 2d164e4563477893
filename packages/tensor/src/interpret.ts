// Evaluation in float64, one op after another: the heart of the reference backend, and what a loop's body runs on there.
import { evalDim, evalShape, SymDim } from "./dim.ts";
import { CarambaError } from "./errors.ts";
import type { Graph } from "./graph.ts";
import { toRef } from "./passes/passes.ts";
import { type Attrs, type AttrValue, constantValue, type RefValue, type Tensor } from "./tensor.ts";

/** Replaces symbolic dimensions in attributes by their values. */
function bindAttrs(attrs: Attrs, bindings: ReadonlyMap<string, number>): Attrs {
  const bind = (value: AttrValue): AttrValue =>
    value instanceof SymDim ? evalDim(value, bindings) : Array.isArray(value) ? value.map(bind) : value;
  return Object.fromEntries(Object.entries(attrs).map(([name, value]) => [name, bind(value)]));
}

/** Evaluates every node of a graph of primitives; values of fed leaves come in graph order. */
export function interpret(graph: Graph, fed: readonly RefValue[]): Map<Tensor, RefValue> {
  const bindings = graph.bind(fed.map((v) => v.shape));
  const values = new Map<Tensor, RefValue>(graph.inputs.map((leaf, i) => [leaf, fed[i] as RefValue]));
  for (const node of graph.nodes) {
    if (values.has(node)) continue;
    const shape = evalShape(node.shape, bindings);
    const data = constantValue(node);
    if (data) {
      values.set(node, toRef(data, shape, node.dtype));
      continue;
    }
    const { evaluate } = node.op;
    if (!evaluate) throw new CarambaError(`${node.op.name} has no reference implementation`, { code: "internal" });
    const inputs = node.inputs.map((input) => values.get(input) as RefValue);
    values.set(node, { shape, dtype: node.dtype, data: evaluate(inputs, bindAttrs(node.attrs, bindings), shape) });
  }
  return values;
}
