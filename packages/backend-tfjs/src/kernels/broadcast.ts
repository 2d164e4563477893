// Broadcasting with few axes. TensorFlow.js' engines grow slow, wrong (wasm) or refuse (webgpu) at high ranks, so
// neighbouring axes that broadcast alike are merged first; what is left beyond four groups is repeated axis by axis.
import type { Tensor } from "@tensorflow/tfjs-core";
import { type Scratch, sameShape, sizeOf } from "../scratch.ts";

/** Ranks up to which kernels are trusted. */
export const safeRank = 4;

const padded = (shape: readonly number[], rank: number): number[] => [
  ...new Array<number>(rank - shape.length).fill(1),
  ...shape,
];

/** Both shapes with neighbouring axes merged where they broadcast alike. */
export function collapsePair(a: readonly number[], b: readonly number[]): [number[], number[]] {
  const rank = Math.max(a.length, b.length);
  const [pa, pb] = [padded(a, rank), padded(b, rank)];
  const [ca, cb]: [number[], number[]] = [[], []];
  let last = "";
  for (let i = 0; i < rank; i++) {
    const [x, y] = [pa[i] as number, pb[i] as number];
    if (x === 1 && y === 1) continue;
    const kind = x === y ? "same" : x === 1 ? "b" : "a";
    if (kind === last) {
      ca[ca.length - 1] = (ca[ca.length - 1] as number) * x;
      cb[cb.length - 1] = (cb[cb.length - 1] as number) * y;
    } else {
      ca.push(x);
      cb.push(y);
    }
    last = kind;
  }
  return [ca, cb];
}

/** x repeated up to `shape`. */
export function expand(s: Scratch, x: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (x.size === sizeOf(shape)) return s.shaped(x, shape);
  const [from, to] = collapsePair(x.shape, shape);
  let value = x;
  if (to.length <= safeRank) {
    value = s.run("Tile", { x: s.shaped(x, from) }, { reps: to.map((n, i) => n / (from[i] as number)) });
  } else {
    for (let i = to.length - 1; i >= 0; i--) {
      if (from[i] === to[i]) continue;
      const [outer, inner] = [sizeOf(from.slice(0, i)), sizeOf(to.slice(i + 1))];
      value = s.run("Tile", { x: s.shaped(value, [outer, 1, inner]) }, { reps: [1, to[i] as number, 1] });
    }
  }
  return s.shaped(value, shape);
}

/** Runs an elementwise kernel of two inputs that broadcast to `shape`. */
export function binaryKernel(s: Scratch, kernel: string, a: Tensor, b: Tensor, shape: readonly number[]): Tensor {
  const rank = Math.max(a.shape.length, b.shape.length);
  if (rank <= safeRank) return s.run(kernel, { a, b });
  const [ca, cb] = collapsePair(a.shape, b.shape);
  const [x, y] =
    ca.length <= safeRank
      ? [s.shaped(a, ca), s.shaped(b, cb)]
      : [s.shaped(expand(s, a, shape), [sizeOf(shape)]), s.shaped(expand(s, b, shape), [sizeOf(shape)])];
  return s.shaped(s.run(kernel, { a: x, b: y }), shape);
}
