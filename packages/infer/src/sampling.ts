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

/** Index of the largest logit, the first among equals. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}

/** Probabilities after temperature, top-k and top-p, of every token (0 where cut off). */
export function distribution(logits: Float32Array, options: SamplingOptions): Float64Array {
  const { temperature, topK, topP } = options;
  const out = new Float64Array(logits.length);
  if (temperature === 0) {
    out[argmax(logits)] = 1;
    return out;
  }
  const order = Uint32Array.from(logits, (_, i) => i).sort(
    (a, b) => (logits[b] as number) - (logits[a] as number) || a - b,
  );
  const top = logits[order[0] as number] as number;
  if (!Number.isFinite(top))
    throw new CarambaError("the logits hold no finite value", {
      code: "nan",
      remedy: "check the checkpoint; training may have diverged",
    });
  let kept = logits.length;
  if (topK !== null && topK < kept) {
    const limit = logits[order[topK - 1] as number] as number;
    kept = topK;
    while (kept < order.length && logits[order[kept] as number] === limit) kept++;
  }
  let total = 0;
  for (let i = 0; i < kept; i++) {
    const p = Math.exp(((logits[order[i] as number] as number) - top) / temperature);
    out[order[i] as number] = p;
    total += p;
  }
  if (topP !== null && topP > 0 && topP < 1) {
    let mass = 0;
    let used = 0;
    while (used < kept && mass <= topP * total) mass += out[order[used++] as number] as number;
    for (let i = used; i < kept; i++) out[order[i] as number] = 0;
    total = mass;
  }
  return out.map((p) => p / total);
}

/** Draws a token; `uniform` is a number in [0, 1). */
export function sampleToken(logits: Float32Array, options: SamplingOptions, uniform: number): number {
  if (options.temperature === 0) return argmax(logits);
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
