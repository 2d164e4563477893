// Rotary position embedding (Su et al., "RoFormer", 2021), halves convention of Hugging Face's Llama: feature i is
// paired with feature i + R/2. Rotations are orthogonal, so the gradient is the rotation by the opposite angle.
import { dimEquals, divDims, shapeText } from "../dim.ts";
import { ShapeError } from "../errors.ts";
import { broadcastShapes } from "../ops/broadcast.ts";
import { add, mul, neg, sub } from "../ops/elementwise.ts";
import { concat, slice } from "../ops/shape.ts";
import { makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";

const ropeOp: OpDef = {
  name: "rope",
  infer: (inputs) => {
    const [x, cos, sin] = inputs as [TensorType, TensorType, TensorType];
    const width = x.shape[x.shape.length - 1];
    const half = width === undefined ? undefined : divDims(width, 2);
    if (half === undefined) throw new ShapeError(`the last axis of ${shapeText(x.shape)} is not even`);
    const halves = [...x.shape.slice(0, -1), half];
    for (const table of [cos, sin])
      if (
        !dimEquals(table.shape[table.shape.length - 1] ?? 0, half) ||
        broadcastShapes(halves, table.shape).length !== x.shape.length
      )
        throw new ShapeError(`a table ${shapeText(table.shape)} does not fit pairs ${shapeText(halves)}`);
    return { shape: x.shape, dtype: x.dtype };
  },
  vjp: ({ g, inputs: [, cos, sin] }) => [rope(g, cos as Tensor, neg(sin as Tensor)), null, null],
  decompose: (inputs) => {
    const [x, cos, sin] = inputs as [Tensor, Tensor, Tensor];
    const axis = x.rank - 1;
    const width = x.shape[axis] as number;
    const first = slice(x, axis, 0, width / 2);
    const second = slice(x, axis, width / 2, width);
    return concat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))], axis);
  },
  samples: [
    {
      inputs: [{ shape: [2, 2, 3, 4] }, { shape: [3, 2], fixed: true }, { shape: [3, 2], fixed: true }],
      about: "tables shared by the heads",
    },
    {
      inputs: [{ shape: [2, 2, 3, 4] }, { shape: [2, 3, 2], fixed: true }, { shape: [2, 3, 2], fixed: true }],
      about: "tables per head",
    },
  ],
};

/**
 * Rotates pairs (i, i + R/2) of the last axis: x [..., T, R], cos and sin broadcastable to [..., T, R/2].
 * The tables are taken as constants: no gradient reaches them.
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  return makeNode(ropeOp, [x, cos, sin], {});
}

export const ropeOps: readonly OpDef[] = [ropeOp];
