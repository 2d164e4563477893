// Cross-entropy of logits against target ids, per row: -log softmax(logits)[target]. Its gradient is
// g (softmax - onehot), written so that no one-hot matrix exists.
import { type Dim, shapeEquals, shapeText } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { exp, mul, neg } from "../ops/elementwise.ts";
import { scatterAddAlong, takeAlong } from "../ops/indexing.ts";
import { broadcastTo, reshape } from "../ops/shape.ts";
import { makeNode, type OpDef, scalar, type Tensor, type TensorType } from "../tensor.ts";
import { logSoftmax } from "./softmax.ts";

/**
 * The one number that all entries of g are, if they are (the gradient of a mean). As a factor on the whole gradient it
 * can go into the product that made the logits.
 */
function uniform(g: Tensor): Tensor | undefined {
  const [from] = g.inputs;
  return g.op.name === "broadcastTo" && from?.shape.every((d) => d === 1) ? reshape(from, []) : undefined;
}

const crossEntropyOp: OpDef = {
  name: "crossEntropy",
  infer: (inputs) => {
    const [logits, targets] = inputs as [TensorType, TensorType];
    if (!isFloat(logits.dtype) || targets.dtype !== "int32")
      throw new ShapeError(`takes float logits and int32 targets, found ${logits.dtype} and ${targets.dtype}`);
    if (!shapeEquals(logits.shape.slice(0, -1), targets.shape))
      throw new ShapeError(`logits ${shapeText(logits.shape)} and targets ${shapeText(targets.shape)} do not fit`);
    return { shape: targets.shape, dtype: logits.dtype };
  },
  vjp: ({ g, inputs }) => {
    const [logits, targets] = inputs as [Tensor, Tensor];
    const p = exp(logSoftmax(logits));
    const common = uniform(g);
    if (common) return [mul(scatterAddAlong(p, targets, broadcastTo(scalar(-1, g.dtype), g.shape)), common), null];
    return [scatterAddAlong(mul(p, reshape(g, [...(g.shape as readonly Dim[]), 1])), targets, neg(g)), null];
  },
  decompose: ([logits, targets]) => neg(takeAlong(logSoftmax(logits as Tensor), targets as Tensor)),
  samples: [
    {
      inputs: [
        { shape: [4, 6], low: -3, high: 3 },
        { shape: [4], dtype: "int32", values: [0, 5, 2, 2] },
      ],
    },
  ],
};

/** Negative log-likelihood of each row, in nats: logits [..., V], targets int32 [...] -> [...]. */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return makeNode(crossEntropyOp, [logits, targets], {});
}

export const crossEntropyOps: readonly OpDef[] = [crossEntropyOp];
