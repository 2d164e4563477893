// Reverse-mode differentiation, graph to graph: the gradient of a scalar is one more expression. Composite ops that
// declare no gradient of their own are differentiated through their decomposition, and the loss is rewritten to use
// that decomposition too, so that the forward values exist once.
import { CarambaError, ShapeError } from "./errors.ts";
import { topological } from "./graph.ts";
import { add } from "./ops/elementwise.ts";
import { broadcastTo } from "./ops/shape.ts";
import { rewrite } from "./passes/rewrite.ts";
import { atScope, scalar, type Tensor } from "./tensor.ts";

/** A loss and its gradients, all in terms of the same forward nodes. */
export interface ValueAndGrad {
  /** The loss; differs from the one given only in that composites without a gradient rule are expanded. */
  readonly value: Tensor;
  /** One gradient per entry of `wrt`, of its shape; zeros where the loss does not depend on it. */
  readonly grads: readonly Tensor[];
  /** Maps any node of the original graph to the node that now stands for it. */
  readonly map: (node: Tensor) => Tensor;
}

/**
 * Gradients of `loss` with respect to `wrt`.
 * @throws ShapeError when the loss is not a scalar; CarambaError when an op on the way has no gradient.
 */
export function valueAndGrad(loss: Tensor, wrt: readonly Tensor[], also: readonly Tensor[] = []): ValueAndGrad {
  if (loss.rank !== 0)
    throw new ShapeError(`the loss is ${loss}, not a scalar`, "reduce it with mean or sum before grad");
  const depends = dependents(topological([loss]), wrt);
  const expanded = rewrite([loss, ...also], (node, inputs) =>
    node.op.decompose && !node.op.vjp && depends.has(node) ? node.op.decompose(inputs, node.attrs) : undefined,
  );
  // Decompositions may hold composites again; repeat until nothing changes.
  const value = expanded.outputs[0] as Tensor;
  if (value !== loss) {
    // Where one entry of wrt comes behind another, its node may have been rebuilt too.
    const inner = valueAndGrad(value, wrt.map(expanded.map), also.map(expanded.map));
    return { ...inner, map: (node) => inner.map(expanded.map(node)) };
  }
  return { value, grads: backward(value, wrt), map: (node) => node };
}

/** Gradients of a scalar; see valueAndGrad, which also returns the loss they share nodes with. */
export function grad(loss: Tensor, wrt: readonly Tensor[]): readonly Tensor[] {
  return valueAndGrad(loss, wrt).grads;
}

function dependents(order: readonly Tensor[], wrt: readonly Tensor[]): Set<Tensor> {
  const depends = new Set(wrt);
  for (const node of order) if (node.inputs.some((input) => depends.has(input))) depends.add(node);
  return depends;
}

/**
 * Vector-Jacobian products: the gradient of sum_i <outputs_i, cotangents_i> with respect to `wrt`; undefined where the
 * outputs do not depend on it. Composites without a rule of their own are differentiated through their decomposition.
 */
export function pullback(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  wrt: readonly Tensor[],
): readonly (Tensor | undefined)[] {
  let [current, inner] = [outputs, wrt];
  for (;;) {
    const depends = dependents(topological(current), inner);
    const expanded = rewrite(current, (node, inputs) =>
      node.op.decompose && !node.op.vjp && depends.has(node) ? node.op.decompose(inputs, node.attrs) : undefined,
    );
    if (expanded.outputs.every((node, i) => node === current[i])) return propagate(current, cotangents, inner);
    [current, inner] = [expanded.outputs, inner.map(expanded.map)];
  }
}

function backward(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  const grads = propagate([loss], [scalar(1, loss.dtype)], wrt);
  return wrt.map((w, i) => grads[i] ?? broadcastTo(scalar(0, w.dtype), w.shape));
}

function propagate(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  wrt: readonly Tensor[],
): (Tensor | undefined)[] {
  const order = topological(outputs);
  const depends = dependents(order, wrt);
  const grads = new Map<Tensor, Tensor>();
  outputs.forEach((output, i) => {
    const sofar = grads.get(output);
    const own = cotangents[i] as Tensor;
    grads.set(output, sofar ? add(sofar, own) : own);
  });
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i] as Tensor;
    const g = grads.get(node);
    if (!g || !depends.has(node) || node.leaf) continue;
    atScope(node.scope, () => {
      if (!node.op.vjp)
        throw new CarambaError(`${node.scope ? `${node.scope}: ` : ""}${node.op.name} has no gradient`, {
          code: "no-gradient",
          remedy: "stop the gradient before it, or use a differentiable op",
        });
      const parts = node.op.vjp({ g, inputs: node.inputs, output: node, attrs: node.attrs });
      node.inputs.forEach((input, k) => {
        const part = parts[k];
        if (!part || !depends.has(input)) return;
        const own = typeof part === "function" ? part() : part;
        const sofar = grads.get(input);
        grads.set(input, sofar ? add(sofar, own) : own);
      });
    });
  }
  return wrt.map((w) => grads.get(w));
}
