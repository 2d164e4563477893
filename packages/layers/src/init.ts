// Initial values. Linear weights: normal with variance 1 / (3 dIn), the variance of PyTorch's default uniform
// initialisation; embeddings: normal with standard deviation 0.02, as Llama; norms: ones; biases and gates: zeros. A
// model may set another scheme for linear maps and embeddings (`initialization`; see `plainWeights` of Module). Draws
// come from a generator that is keyed by the model's seed and the variable's path, so that no weight depends on another.
import type { Initializer } from "@caramba/tensor";

/** Normal values with mean 0 and the given standard deviation. */
export function normalInit(std: number): Initializer {
  return (shape, random) =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => std * random.normal());
}

/** Weights [dIn, dOut] of a linear map. */
export const linearInit: Initializer = (shape, random) =>
  normalInit(Math.sqrt(1 / (3 * (shape[0] as number))))(shape, random);

export const onesInit: Initializer = (shape) => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1);

export const zerosInit: Initializer = (shape) => new Float32Array(shape.reduce((a, b) => a * b, 1));
