// Activations: SiLU, exact GELU (Hendrycks and Gimpel, 2016) and the SwiGLU product (Shazeer, "GLU variants improve
// Transformer", 2020).
import { shapeEquals, shapeText } from "../dim.ts";
import { isFloat } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { abs, add, div, equal, erf, exp, log, maximum, mul, neg, sigmoid, sub, where } from "../ops/elementwise.ts";
import { makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";

const infer = (inputs: readonly TensorType[]): TensorType => {
  const [x, y] = inputs as [TensorType, TensorType | undefined];
  if (!isFloat(x.dtype)) throw new ShapeError(`does not take ${x.dtype}`, "cast to float32");
  if (y && !shapeEquals(x.shape, y.shape))
    throw new ShapeError(`operands ${shapeText(x.shape)} and ${shapeText(y.shape)} differ`);
  return { shape: x.shape, dtype: x.dtype };
};

/** d silu / dx = s + x s (1 - s) = s + silu(x) (1 - s). */
const siluSlope = (x: Tensor): Tensor => {
  const s = sigmoid(x);
  return add(s, mul(silu(x), sub(1, s)));
};

const siluOp: OpDef = {
  name: "silu",
  infer,
  vjp: ({ g, inputs: [x] }) => [mul(g, siluSlope(x as Tensor))],
  decompose: ([x]) => mul(x as Tensor, sigmoid(x as Tensor)),
  samples: [{ inputs: [{ shape: [3, 4], low: -4, high: 4 }] }],
};

/** x sigmoid(x). */
export function silu(x: Tensor): Tensor {
  return makeNode(siluOp, [x], {});
}

const geluOp: OpDef = {
  name: "gelu",
  infer,
  vjp: ({ g, inputs: [x] }) => {
    const at = x as Tensor;
    const cdf = mul(add(erf(mul(at, Math.SQRT1_2)), 1), 0.5);
    const density = mul(exp(mul(mul(at, at), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return [mul(g, add(cdf, mul(at, density)))];
  },
  decompose: ([x]) => mul(x as Tensor, mul(add(erf(mul(x as Tensor, Math.SQRT1_2)), 1), 0.5)),
  samples: [{ inputs: [{ shape: [3, 4], low: -3, high: 3 }] }],
};

/** x Phi(x) with the exact normal distribution function. */
export function gelu(x: Tensor): Tensor {
  return makeNode(geluOp, [x], {});
}

const swigluOp: OpDef = {
  name: "swiglu",
  infer,
  vjp: ({ g, inputs }) => {
    const [gate, up] = inputs as [Tensor, Tensor];
    return [() => mul(mul(g, up), siluSlope(gate)), () => mul(g, silu(gate))];
  },
  decompose: ([gate, up]) => mul(silu(gate as Tensor), up as Tensor),
  samples: [{ inputs: [{ shape: [3, 4], low: -4, high: 4 }, { shape: [3, 4] }] }],
};

/** silu(gate) * up, elementwise. */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return makeNode(swigluOp, [gate, up], {});
}

/** log(1 + z) for z in [0, 1] without losing the digits of a small z: z log(u) / (u - 1) with u = 1 + z (Kahan). */
function log1p(z: Tensor): Tensor {
  const u = add(z, 1);
  const lost = equal(u, 1);
  return where(lost, z, mul(z, div(log(u), where(lost, 1, sub(u, 1)))));
}

const softplusOp: OpDef = {
  name: "softplus",
  infer,
  vjp: ({ g, inputs: [x] }) => [mul(g, sigmoid(x as Tensor))],
  decompose: ([x]) => add(maximum(x as Tensor, 0), log1p(exp(neg(abs(x as Tensor))))),
  samples: [
    { inputs: [{ shape: [3, 4], low: -6, high: 6 }] },
    { inputs: [{ shape: [6], values: [-85, -17.5, -3, 0, 0.5, 90] }], about: "far from zero", relative: true },
  ],
};

/** log(1 + exp(x)), to float32's relative precision also where it is small (below 2^-126 it may be 0). */
export function softplus(x: Tensor): Tensor {
  return makeNode(softplusOp, [x], {});
}

export const activationOps: readonly OpDef[] = [siluOp, geluOp, swigluOp, softplusOp];
