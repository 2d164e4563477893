// Inverted dropout (Srivastava et al., 2014) for given uniform numbers u in [0, 1): x / (1 - p) where u >= p, else 0. At
// p = 1 nothing is kept, and no factor may be infinite: zero times that would be no gradient.
import { greaterEqual, mul, where } from "../ops/elementwise.ts";
import type { Tensor } from "../tensor.ts";

/** x with elements dropped with probability p; uniform numbers of x's shape. */
export function dropout(x: Tensor, uniform: Tensor, p: number): Tensor {
  return p === 1 ? mul(x, 0) : where(greaterEqual(uniform, p), mul(x, 1 / (1 - p)), 0);
}
