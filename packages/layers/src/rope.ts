// Rotary position embedding (Su et al., "RoFormer", 2021). Feature pair j of a rotated width R turns by position times
// inverse frequency base^(-2j/R); halves convention (feature i pairs with i + R/2), as Hugging Face's Llama. A width
// below the head's is partial rotation: the first R features turn, the rest pass through (`partial_rotary_factor`).
// Stretched contexts, as Hugging Face's: `linear` divides all frequencies (Chen et al., "Position Interpolation", 2023),
// `llama3` long wavelengths only, interpolating in context/wavelength.
import type { RopeScaling } from "@caramba/config";
import { cast, concat, constant, cos, type Dim, mul, reshape, rope, sin, slice, type Tensor } from "@caramba/tensor";

/** Inverse frequencies of a rotated width, radians per position: R/2 values. */
export function inverseFrequencies(width: number, base: number, scaling: RopeScaling | null = null): Float32Array {
  return Float32Array.from({ length: width / 2 }, (_, j) => scaled(base ** ((-2 * j) / width), scaling));
}

function scaled(frequency: number, scaling: RopeScaling | null): number {
  if (!scaling || scaling.ropeType === "default") return frequency;
  if (scaling.ropeType === "linear") return frequency / scaling.factor;
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: context } = scaling;
  const turns = (context * frequency) / (2 * Math.PI);
  if (turns < low) return frequency / factor;
  if (turns > high) return frequency;
  const smooth = (turns - low) / (high - low);
  return ((1 - smooth) / factor + smooth) * frequency;
}

/** Cosines and sines [..., T, R/2]. */
export interface RopeTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/** Tables [..., T, R/2] for positions int32 [T] and inverse frequencies [..., R/2]. */
export function ropeTables(positions: Tensor, frequencies: Tensor): RopeTables {
  const t = positions.shape[0] as number;
  const pairs = frequencies.shape[frequencies.rank - 1] as number;
  const rows = reshape(frequencies, [...frequencies.shape.slice(0, -1), 1, pairs]);
  const angles = mul(reshape(cast(positions, "float32"), [t, 1]), rows);
  return { cos: cos(angles), sin: sin(angles) };
}

/** Rotates the first R features of x [..., T, d]: tables broadcastable to [..., T, R/2], R at most d. */
export function rotate(x: Tensor, { cos, sin }: RopeTables): Tensor {
  const axis = x.rank - 1;
  const width = x.shape[axis] as number;
  const rotated = 2 * (cos.shape[cos.rank - 1] as number);
  if (rotated === width) return rope(x, cos, sin);
  return concat([rope(slice(x, axis, 0, rotated), cos, sin), slice(x, axis, rotated, width)], axis);
}

/** Rotates queries [B, H, T, d] by tables of their key-value heads [Hkv, T, R/2]: a group shares one. */
export function rotateGroups(q: Tensor, { cos, sin }: RopeTables): Tensor {
  const [b, heads, t, d] = q.shape as [Dim, number, Dim, Dim];
  const [kvHeads, , pairs] = cos.shape as [number, Dim, Dim];
  if (heads === kvHeads) return rotate(q, { cos, sin });
  const table = (x: Tensor) => reshape(x, [kvHeads, 1, t, pairs]);
  const grouped = reshape(q, [b, kvHeads, heads / kvHeads, t, d]);
  return reshape(rotate(grouped, { cos: table(cos), sin: table(sin) }), q.shape);
}

/** Rotary embedding as a helper of its own: `new RoPE({ width: 64 }).rotate(x, positions)`. */
export class RoPE {
  readonly frequencies: Tensor;

  /** Rotates the first `width` features; base 10000 and no scaling by default. */
  constructor(options: { readonly width: number; readonly base?: number; readonly scaling?: RopeScaling | null }) {
    const values = inverseFrequencies(options.width, options.base ?? 10000, options.scaling ?? null);
    this.frequencies = constant(values, [values.length]);
  }

  /** x [..., T, d] at positions int32 [T]; d is at least `width`. */
  rotate(x: Tensor, positions: Tensor): Tensor {
    return rotate(x, ropeTables(positions, this.frequencies));
  }
}
