// RMSNorm (Zhang and Sennrich, "Root mean square layer normalization", 2019) and LayerNorm (Ba et al., 2016), both
// over the last axis. Gradients by hand: with n the normalised value and gw = g * w,
//   RMSNorm:   dx = r (gw - n mean(gw n))            r = 1 / sqrt(mean(x^2) + eps)
//   LayerNorm: dx = r (gw - mean(gw) - n mean(gw n)) r = 1 / sqrt(var(x) + eps)
import { dimEquals, shapeText } from "../dim.ts";
import { ShapeError } from "../errors.ts";
import { add, mul, rsqrt, sub } from "../ops/elementwise.ts";
import { mean } from "../ops/reduce.ts";
import { sumTo } from "../ops/shape.ts";
import { type Attrs, makeNode, type OpDef, type Tensor, type TensorType } from "../tensor.ts";

interface NormAttrs extends Attrs {
  readonly eps: number;
}

const infer = (inputs: readonly TensorType[]): TensorType => {
  const [x, ...rest] = inputs as [TensorType, ...TensorType[]];
  const width = x.shape[x.shape.length - 1];
  for (const w of rest)
    if (width === undefined || w.shape.length !== 1 || !dimEquals(w.shape[0] as number, width))
      throw new ShapeError(`a weight ${shapeText(w.shape)} does not fit the last axis of ${shapeText(x.shape)}`);
  return { shape: x.shape, dtype: x.dtype };
};

const inverseRms = (x: Tensor, eps: number): Tensor => rsqrt(add(mean(mul(x, x), [-1], true), eps));

const rmsNormOp: OpDef<NormAttrs> = {
  name: "rmsNorm",
  infer,
  vjp: ({ g, inputs, attrs: { eps } }) => {
    const [x, w] = inputs as [Tensor, Tensor];
    const r = inverseRms(x, eps);
    const n = mul(x, r);
    return [
      () => {
        const gw = mul(g, w);
        return mul(r, sub(gw, mul(n, mean(mul(gw, n), [-1], true))));
      },
      () => sumTo(mul(g, n), w.shape),
    ];
  },
  decompose: (inputs, { eps }) => {
    const [x, w] = inputs as [Tensor, Tensor];
    return mul(mul(x, inverseRms(x, eps)), w);
  },
  samples: [
    { inputs: [{ shape: [3, 8] }, { shape: [8] }], attrs: { eps: 1e-5 } },
    { inputs: [{ shape: [2, 3, 4] }, { shape: [4] }], attrs: { eps: 1e-6 } },
  ],
};

/** x / rms(x) * w over the last axis: x [..., D], w [D] or null for no weight. */
export function rmsNorm(x: Tensor, w: Tensor | null, eps = 1e-5): Tensor {
  return w ? makeNode(rmsNormOp, [x, w], { eps }) : mul(x, inverseRms(x, eps));
}

const standardise = (x: Tensor, eps: number): { n: Tensor; r: Tensor } => {
  const centred = sub(x, mean(x, [-1], true));
  const r = inverseRms(centred, eps);
  return { n: mul(centred, r), r };
};

const layerNormOp: OpDef<NormAttrs> = {
  name: "layerNorm",
  infer,
  vjp: ({ g, inputs, attrs: { eps } }) => {
    const [x, w, b] = inputs as [Tensor, Tensor, Tensor];
    const { n, r } = standardise(x, eps);
    return [
      () => {
        const gw = mul(g, w);
        return mul(r, sub(sub(gw, mean(gw, [-1], true)), mul(n, mean(mul(gw, n), [-1], true))));
      },
      () => sumTo(mul(g, n), w.shape),
      () => sumTo(g, b.shape),
    ];
  },
  decompose: (inputs, { eps }) => {
    const [x, w, b] = inputs as [Tensor, Tensor, Tensor];
    return add(mul(standardise(x, eps).n, w), b);
  },
  samples: [{ inputs: [{ shape: [3, 6] }, { shape: [6] }, { shape: [6] }], attrs: { eps: 1e-5 } }],
};

/** (x - mean) / sqrt(var + eps) * w + b over the last axis: x [..., D], w and b [D]. */
export function layerNorm(x: Tensor, w: Tensor, b: Tensor, eps = 1e-5): Tensor {
  return makeNode(layerNormOp, [x, w, b], { eps });
}

export const normOps: readonly OpDef[] = [rmsNormOp, layerNormOp] as unknown as readonly OpDef[];
