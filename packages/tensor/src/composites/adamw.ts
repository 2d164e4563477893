// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) as three expressions, one for each state
// that changes, so that a backend may run all three in a single sweep over memory:
//   m' = b1 m + (1 - b1) s g            s: factor from clipping by the global norm
//   v' = b2 v + (1 - b2) (s g)^2
//   p' = p (1 - lr wd) - lr (m'/c1) / (sqrt(v'/c2) + eps)        c_i = 1 - b_i^step, the bias corrections
import { shapeEquals, shapeText } from "../dim.ts";
import { ShapeError } from "../errors.ts";
import { add, div, mul, sqrt, sub } from "../ops/elementwise.ts";
import { type Attrs, makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";

interface MomentAttrs extends Attrs {
  readonly beta: number;
}
interface StepAttrs extends Attrs {
  readonly eps: number;
  readonly weightDecay: number;
}

const infer = (inputs: readonly TensorType[]): TensorType => {
  const [state] = inputs as [TensorType];
  for (const t of inputs)
    if (t.shape.length !== 0 && !shapeEquals(t.shape, state.shape))
      throw new ShapeError(`state ${shapeText(state.shape)} and ${shapeText(t.shape)} differ`);
  return { shape: state.shape, dtype: state.dtype };
};

const adamwMOp: OpDef<MomentAttrs> = {
  name: "adamwM",
  infer,
  decompose: (inputs, { beta }) => {
    const [m, g, scale] = inputs as [Tensor, Tensor, Tensor];
    return add(mul(m, beta), mul(g, mul(scale, 1 - beta)));
  },
  samples: [{ inputs: [{ shape: [3, 4] }, { shape: [3, 4] }, { shape: [], low: 0.5, high: 1 }], attrs: { beta: 0.9 } }],
};

const adamwVOp: OpDef<MomentAttrs> = {
  name: "adamwV",
  infer,
  decompose: (inputs, { beta }) => {
    const [v, g, scale] = inputs as [Tensor, Tensor, Tensor];
    return add(mul(v, beta), mul(mul(g, g), mul(mul(scale, scale), 1 - beta)));
  },
  samples: [
    {
      inputs: [{ shape: [3, 4], low: 0, high: 1 }, { shape: [3, 4] }, { shape: [], low: 0.5, high: 1 }],
      attrs: { beta: 0.95 },
    },
  ],
};

const adamwParamOp: OpDef<StepAttrs> = {
  name: "adamwParam",
  infer,
  decompose: (inputs, { eps, weightDecay }) => {
    const [p, m, v, lr, c1, c2] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
    // Scalars first: lr (m/c1) / (sqrt(v/c2) + eps) = (lr sqrt(c2)/c1) m / (sqrt(v) + eps sqrt(c2)).
    const root = sqrt(c2);
    const step = div(mul(m, div(mul(lr, root), c1)), add(sqrt(v), mul(root, eps)));
    return sub(weightDecay === 0 ? p : mul(p, sub(1, mul(lr, weightDecay))), step);
  },
  samples: [
    {
      inputs: [
        { shape: [2, 5] },
        { shape: [2, 5] },
        { shape: [2, 5], low: 0.1, high: 1 },
        { shape: [], low: 0.01, high: 0.1 },
        { shape: [], low: 0.1, high: 1 },
        { shape: [], low: 0.1, high: 1 },
      ],
      attrs: { eps: 1e-8, weightDecay: 0.1 },
    },
  ],
};

/** Constants of AdamW. */
export interface AdamwOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  readonly weightDecay?: number;
}

/** What one AdamW step reads: states of the parameter's shape, and rank-0 factors. */
export interface AdamwInputs {
  readonly p: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  readonly g: Tensor;
  /** Learning rate. */
  readonly lr: Tensor;
  /** Bias corrections 1 - beta^step. */
  readonly c1: Tensor;
  readonly c2: Tensor;
  /** Factor on the gradient; 1 when nothing is clipped. */
  readonly gradScale: Tensor;
}

/** The next parameter, first and second moment. Defaults: beta1 0.9, beta2 0.95, eps 1e-8, weightDecay 0. */
export function adamw(x: AdamwInputs, options: AdamwOptions = {}): { p: Tensor; m: Tensor; v: Tensor } {
  const { beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weightDecay = 0 } = options;
  const m = makeNode(adamwMOp, [x.m, x.g, x.gradScale], { beta: beta1 });
  const v = makeNode(adamwVOp, [x.v, x.g, x.gradScale], { beta: beta2 });
  return { p: makeNode(adamwParamOp, [x.p, m, v, x.lr, x.c1, x.c2], { eps, weightDecay }), m, v };
}

export const adamwOps: readonly OpDef[] = [adamwMOp, adamwVOp, adamwParamOp] as unknown as readonly OpDef[];
