// From logits to a token: temperature, top-k, top-p, then one draw. Temperature 0 is greedy. Ties at the k-th logit are
// kept; top-p keeps the smallest set of most likely tokens whose probability exceeds p (Holtzman et al., "The curious
// case of neural text degeneration", 2020), and always the first.
import { CarambaError } from "@caramba/tensor";

/** What shapes the distribution. */
export interface SamplingOptions {
  /** 0: greedy. */
  readonly temperature: number;
  readonly topK: number | null;
  readonly topP: number | null;
}

/** Index of the largest logit, the first among equals. @throws CarambaError `nan` when that is no finite number. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let sound = true;
  for (let i = 0; i < logits.length; i++) {
    const v = logits[i] as number;
    if (v > (logits[best] as number)) best = i;
    // Only NaN differs from itself; a comparison alone would pass over it.
    else if (Number.isNaN(v)) sound = false;
  }
  if (!sound || !Number.isFinite(logits[best]))
    throw new CarambaError("the logits hold NaN, or no finite largest value", {
      code: "nan",
      remedy: "check the checkpoint; training may have diverged",
    });
  return best;
}

/** Probabilities after temperature, top-k and top-p, of every token (0 where cut off). @throws as `argmax`. */
export function distribution(logits: Float32Array, options: SamplingOptions): Float64Array {
  const { temperature, topK, topP } = options;
  const out = new Float64Array(logits.length);
  const best = argmax(logits);
  if (temperature <= 0) {
    out[best] = 1;
    return out;
  }
  const top = logits[best] as number;
  const nucleus = topP !== null && topP > 0 && topP < 1;
  let kept = logits.length;
  let order: Uint32Array | undefined;
  if (nucleus || (topK !== null && topK < kept)) {
    order = new Uint32Array(logits.length);
    for (let i = 0; i < order.length; i++) order[i] = i;
    order.sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
    if (topK !== null && topK < kept) {
      const limit = logits[order[topK - 1] as number] as number;
      kept = topK;
      while (kept < order.length && logits[order[kept] as number] === limit) kept++;
    }
  }
  const at = (i: number): number => (order ? (order[i] as number) : i);
  let total = 0;
  for (let i = 0; i < kept; i++) {
    const token = at(i);
    const p = Math.exp(((logits[token] as number) - top) / temperature);
    out[token] = p;
    total += p;
  }
  if (nucleus) {
    let mass = 0;
    let used = 0;
    while (used < kept && mass <= topP * total) mass += out[at(used++)] as number;
    for (let i = used; i < kept; i++) out[at(i)] = 0;
    total = mass;
  }
  for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) / total;
  return out;
}

/** Draws a token; `uniform` is a number in [0, 1). */
export function sampleToken(logits: Float32Array, options: SamplingOptions, uniform: number): number {
  if (options.temperature <= 0) return argmax(logits);
  const p = distribution(logits, options);
  let rest = uniform;
  let last = 0;
  for (let i = 0; i < p.length; i++) {
    const own = p[i] as number;
    if (own === 0) continue;
    last = i;
    rest -= own;
    if (rest < 0) return i;
  }
  return last;
}
