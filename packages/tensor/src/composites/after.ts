// `after(x, trigger)` is x, but not before `trigger` has been computed: an ordering and nothing else. Rematerialisation
// uses it to keep an engine from recomputing a block before its gradient arrives. It decomposes into x itself, so that
// an engine without a notion of order drops it (and merges the copies that it kept apart).
import { makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";

const afterOp: OpDef = {
  name: "after",
  infer: ([x]) => ({ shape: (x as TensorType).shape, dtype: (x as TensorType).dtype }),
  vjp: ({ g }) => [g, null],
  decompose: ([x]) => x as Tensor,
  samples: [{ inputs: [{ shape: [2, 3] }, { shape: [4], fixed: true }] }],
};

/** x, once `trigger` is there. Same shape and dtype as x. */
export function after(x: Tensor, trigger: Tensor): Tensor {
  return makeNode(afterOp, [x, trigger], {});
}

export const orderOps: readonly OpDef[] = [afterOp];
