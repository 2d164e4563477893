// Rotary position embedding (Su et al., "RoFormer", 2021). Feature pair j of a rotated width R turns by position times
// inverse frequency base^(-2j/R); halves convention (feature i pairs with i + R/2), as Hugging Face's Llama.
// Llama 3 stretches long wavelengths; interpolation is in context/wavelength as in Hugging Face.
import type { RopeScaling } from "@caramba/config";
import { cast, constant, cos, mul, reshape, rope, sin, type Tensor } from "@caramba/tensor";

/** Inverse frequencies of a rotated width, radians per position: R/2 values. */
export function inverseFrequencies(width: number, base: number, scaling: RopeScaling | null = null): Float32Array {
  return Float32Array.from({ length: width / 2 }, (_, j) => scaled(base ** ((-2 * j) / width), scaling));
}

function scaled(frequency: number, scaling: RopeScaling | null): number {
  if (!scaling || scaling.ropeType === "default") return frequency;
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: context } = scaling;
  const turns = (context * frequency) / (2 * Math.PI);
  if (turns < low) return frequency / factor;
  if (turns > high) return frequency;
  const smooth = (turns - low) / (high - low);
  return ((1 - smooth) / factor + smooth) * frequency;
}

/** Cosine and sine tables [..., T, R/2] for positions int32 [T] and inverse frequencies [..., R/2]. */
export function ropeTables(positions: Tensor, frequencies: Tensor): { cos: Tensor; sin: Tensor } {
  const t = positions.shape[0] as number;
  const pairs = frequencies.shape[frequencies.rank - 1] as number;
  const rows = reshape(frequencies, [...frequencies.shape.slice(0, -1), 1, pairs]);
  const angles = mul(reshape(cast(positions, "float32"), [t, 1]), rows);
  return { cos: cos(angles), sin: sin(angles) };
}

/** Rotary embedding as a helper of its own: `new RoPE({ width: 64 }).rotate(x, positions)`. */
export class RoPE {
  readonly frequencies: Tensor;

  /** Rotates the first `width` features; base 10000 and no scaling by default. */
  constructor(options: { readonly width: number; readonly base?: number; readonly scaling?: RopeScaling | null }) {
    const values = inverseFrequencies(options.width, options.base ?? 10000, options.scaling ?? null);
    this.frequencies = constant(values, [values.length]);
  }

  /** x [..., T, width] at positions int32 [T]. */
  rotate(x: Tensor, positions: Tensor): Tensor {
    const tables = ropeTables(positions, this.frequencies);
    return rope(x, tables.cos, tables.sin);
  }
}
