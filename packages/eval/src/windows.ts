// Text to verify on. This package does not read files; who calls it hands over a WindowReader, or windows already read.
import { CarambaError } from "@caramba/tensor";

/** Windows of tokens with the token that follows each, row-major [count, blockSize]. */
export interface Windows {
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
  readonly blockSize: number;
}

/** Which windows are wanted. */
export interface WindowRequest {
  /** Tokens per window. */
  readonly blockSize: number;
  /** How many; a reader gives fewer (at least one) where the text holds no more. */
  readonly count: number;
  /** `auto`: the held-out part if there is one, else all. */
  readonly split: "auto" | "train" | "val";
}

/** Reads windows that do not overlap, spread over a part of the text. The same request gives the same windows. */
export type WindowReader = (request: WindowRequest) => Windows;

/** Number of windows. Errors: CarambaError `shape` when the arrays are not whole windows. */
export function windowCount({ tokens, targets, blockSize }: Windows): number {
  const count = tokens.length / blockSize;
  if (!Number.isInteger(count) || count < 1 || targets.length !== tokens.length)
    throw new CarambaError(`${tokens.length} tokens and ${targets.length} targets are not windows of ${blockSize}`, {
      code: "shape",
      remedy: "give one or more whole windows, as many targets as tokens",
    });
  return count;
}
