// Weights and tokens that every peer begins with: a counter hashed by the finaliser of MurmurHash3 (Appleby), which is
// three lines in any language (peers/torch_llama.py has the same). Equal inputs make losses comparable.

/** n uniform numbers in [0, 1) with 24 bits each, a function of `key` alone. */
export function mixed(n: number, key: number): Float64Array {
  const values = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let x = (Math.imul(i, 0x9e3779b1) + key) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    x ^= x >>> 16;
    values[i] = (x >>> 8) / 16777216;
  }
  return values;
}

/** The index-th matrix of a model, row-major [in, out], uniform in [-bound, bound). */
export function fixedWeights(index: number, shape: readonly number[], bound: number): Float32Array {
  const n = shape.reduce((a, b) => a * b, 1);
  // Loops, not TypedArray.from with a function: that first makes a list of all the numbers.
  const weights = new Float32Array(n);
  const uniform = mixed(n, (index + 1) * 7919);
  for (let i = 0; i < n; i++) weights[i] = ((uniform[i] as number) * 2 - 1) * bound;
  return weights;
}

/** Token ids [batch, length] of a step, row by row. */
export function fixedTokens(step: number, batch: number, length: number, vocab: number): Int32Array {
  return Int32Array.from(mixed(batch * length, 1000003 + step * 104729), (u) => Math.floor(u * vocab));
}

/** What a training step has to predict at each token: a fixed function of it, so that the loss can fall. */
export function targetsOf(tokens: Int32Array, vocab: number): Int32Array {
  return tokens.map((id) => (id * 3 + 1) % vocab);
}
