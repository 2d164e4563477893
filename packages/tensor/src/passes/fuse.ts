// Fusion: expressions written in primitives that say the same as a composite become that composite, so that a backend's
// native kernel serves code that never heard of it. Each pattern is checked structurally; what does not match exactly
// is left alone.
import { silu, swiglu } from "../composites/activation.ts";
import { rmsNorm } from "../composites/norm.ts";
import { softmax } from "../composites/softmax.ts";
import { dimEquals } from "../dim.ts";
import { Graph } from "../graph.ts";
import { matmul } from "../ops/matmul.ts";
import { scalarValue, type Tensor } from "../tensor.ts";
import type { Pass } from "./passes.ts";
import { rewrite } from "./rewrite.ts";

const is = (t: Tensor | undefined, op: string): t is Tensor => t?.op.name === op;

/** The operands of a commutative op in both orders. */
const bothWays = ([a, b]: readonly Tensor[]): [Tensor, Tensor][] => [
  [a as Tensor, b as Tensor],
  [b as Tensor, a as Tensor],
];

const lastAxis = (t: Tensor, of: Tensor): boolean => {
  const axes = t.attrs["axes"] as readonly number[];
  return t.attrs["keepDims"] === true && axes.length === 1 && axes[0] === of.rank - 1;
};

/** x * sigmoid(x), and silu(g) * u of equal shapes. */
function fuseProduct(inputs: readonly Tensor[]): Tensor | undefined {
  for (const [a, b] of bothWays(inputs)) {
    if (is(b, "sigmoid") && b.inputs[0] === a) return silu(a);
    if (is(a, "silu") && a.rank === b.rank && a.shape.every((d, i) => dimEquals(d, b.shape[i] as number)))
      return swiglu(a.inputs[0] as Tensor, b);
  }
  return fuseRms(inputs);
}

/** (x * 1/sqrt(mean(x^2) + eps)) * w with w [D]. */
function fuseRms(inputs: readonly Tensor[]): Tensor | undefined {
  for (const [scaled, w] of bothWays(inputs)) {
    if (w.rank !== 1 || !is(scaled, "mul")) continue;
    for (const [x, r] of bothWays(scaled.inputs)) {
      const root = is(r, "reciprocal") ? r.inputs[0] : undefined;
      const shifted = is(root, "sqrt") ? root.inputs[0] : undefined;
      if (!is(shifted, "add")) continue;
      for (const [mean, offset] of bothWays(shifted.inputs)) {
        const eps = scalarValue(offset);
        const square = is(mean, "mean") && lastAxis(mean, x) ? mean.inputs[0] : undefined;
        const width = x.shape[x.rank - 1];
        if (eps === undefined || !is(square, "mul") || width === undefined || !dimEquals(width, w.shape[0] as number))
          continue;
        if (square.inputs[0] === x && square.inputs[1] === x) return rmsNorm(x, w, eps);
      }
    }
  }
  return undefined;
}

/** e / sum(e) with e = exp(x - max(x)), last axis. */
function fuseSoftmax([e, total]: readonly Tensor[]): Tensor | undefined {
  if (!is(e, "exp") || !is(total, "sum") || total.inputs[0] !== e || !lastAxis(total, e)) return undefined;
  const shifted = e.inputs[0];
  if (!is(shifted, "sub")) return undefined;
  const [x, top] = shifted.inputs as [Tensor, Tensor];
  return is(top, "max") && top.inputs[0] === x && lastAxis(top, x) ? softmax(x) : undefined;
}

/** matmul of an operand whose last two axes were swapped: the flag says it without moving data. */
function fuseTranspose(node: Tensor, [a, b]: readonly Tensor[]): Tensor | undefined {
  const swapped = (t: Tensor): boolean => {
    const perm = t.attrs["perm"] as readonly number[];
    const n = perm.length;
    return perm.every((p, i) => p === (i === n - 1 ? n - 2 : i === n - 2 ? n - 1 : i));
  };
  const { transA, transB, alpha } = node.attrs as { transA: boolean; transB: boolean; alpha: number };
  const left = is(a, "transpose") && swapped(a) ? (a.inputs[0] as Tensor) : undefined;
  const right = is(b, "transpose") && swapped(b) ? (b.inputs[0] as Tensor) : undefined;
  if (!left && !right) return undefined;
  return matmul(left ?? (a as Tensor), right ?? (b as Tensor), {
    transA: left ? !transA : transA,
    transB: right ? !transB : transB,
    alpha,
  });
}

/** Recognises softmax, rmsNorm, silu, swiglu and transposed products. */
export const fuseComposites: Pass = (graph) => {
  const { outputs } = rewrite(graph.outputs, (node, inputs) => {
    switch (node.op.name) {
      case "mul":
        return fuseProduct(inputs);
      case "div":
        return fuseSoftmax(inputs);
      case "matmul":
        return fuseTranspose(node, inputs);
      default:
        return undefined;
    }
  });
  return new Graph(outputs);
};
