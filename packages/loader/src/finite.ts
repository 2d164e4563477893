// Weights that are not numbers. A model with one NaN answers NaN to everything, long after the file that brought it was
// opened; so they are refused where a model takes its weights, with their tensor's name and how many there are.
import { CarambaError } from "@caramba/tensor";
import { list } from "./checkpoint.ts";
import type { SafetensorsDType, TensorArray } from "./safetensors-dtype.ts";

/** For whoever wants to look at a broken model all the same. */
export interface FiniteOptions {
  /** Take NaN and infinite weights as they are. Default: refused. */
  readonly allowNonFinite?: boolean;
}

// The exponent bits, all set in what is not finite, and the fraction bits, none of them set in infinities.
const formats: Partial<Record<SafetensorsDType, { exponent: number; fraction: number }>> = {
  F32: { exponent: 0x7f800000, fraction: 0x7fffff },
  F16: { exponent: 0x7c00, fraction: 0x3ff },
};

/** How many values of an F32 or F16 tensor are NaN, and how many infinite; other dtypes have none. */
export function countNonFinite(data: TensorArray, dtype: SafetensorsDType): { nan: number; infinite: number } {
  const counts = { nan: 0, infinite: 0 };
  const format = formats[dtype];
  if (!format) return counts;
  const { exponent, fraction } = format;
  const bits = data instanceof Float32Array ? new Uint32Array(data.buffer, data.byteOffset, data.length) : data;
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i] as number;
    if ((word & exponent) !== exponent) continue;
    if (word & fraction) counts.nan++;
    else counts.infinite++;
  }
  return counts;
}

/** @throws CarambaError `non-finite-weights` with the tensors' names and how many of their values are not finite. */
export function demandFinite(
  place: string,
  tensors: Iterable<readonly [string, { readonly data: TensorArray; readonly dtype: SafetensorsDType }]>,
): void {
  const found: string[] = [];
  for (const [name, { data, dtype }] of tensors) {
    const { nan, infinite } = countNonFinite(data, dtype);
    if (nan + infinite > 0) found.push(`${name} (${nan} NaN, ${infinite} infinite, of ${data.length})`);
  }
  if (found.length === 0) return;
  throw new CarambaError(`${place}: ${list("tensors with values that are not finite", found)}`, {
    code: "non-finite-weights",
    remedy:
      "The training that wrote it diverged, or the file is damaged: use an earlier checkpoint or obtain it again. The option allowNonFinite loads it as it is.",
  });
}
