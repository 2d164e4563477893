// For tests: attention fed in pieces, each onto a cache that holds the ones before.
import { type Backend, compile, input, sym, type Tensor } from "@caramba/tensor";
import type { AttentionLayer, ForwardContext } from "../src/index.ts";
import { floats, type Numbers, tokensOf } from "./cases.ts";

/** Outputs of a whole sequence x [B, T, D]. */
export async function feedWhole(
  backend: Backend,
  layer: AttentionLayer,
  x: Numbers,
  context: ForwardContext = {},
): Promise<Float32Array> {
  const program = await compile({ outputs: { y: layer.forward(input("x", x.shape), context) } }, { backend });
  const { y } = await program.read({ x: floats(x) });
  program.dispose();
  return y as Float32Array;
}

/**
 * Outputs of the pieces of x [B, T, D] that end at the cuts. With `open` lengths are given with the data alone, but for a
 * single token, as in decoding.
 */
export async function feedPieces(
  backend: Backend,
  layer: AttentionLayer,
  x: Numbers,
  cuts: readonly number[],
  { open = false, ...context }: ForwardContext & { readonly open?: boolean } = {},
): Promise<Float32Array[]> {
  const [batch, , width] = x.shape as [number, number, number];
  const found: Float32Array[] = [];
  const past: Record<string, number[]> = { k: [], v: [] };
  let from = 0;
  for (const to of cuts) {
    const piece = tokensOf(x, from, to);
    const fresh: Record<string, Tensor> = {};
    const [p, t] = open ? [sym("P"), to - from === 1 ? 1 : sym("T")] : [from, to - from];
    const shapes = layer.cacheParts.map(({ heads, width }) => [batch * heads, width]);
    const [k, v] = shapes.map((row, i) => input(i === 0 ? "past k" : "past v", [p, ...row])) as [Tensor, Tensor];
    const y = layer.forward(input("x", [batch, t, width]), {
      ...context,
      positions: input("positions", [t], "int32"),
      cache: () => ({
        past: from === 0 ? null : { k, v },
        append: (newK, newV) => Object.assign(fresh, { k: newK, v: newV }),
      }),
    });
    const program = await compile({ outputs: { y, ...fresh } }, { backend });
    const rows = (name: "k" | "v", i: 0 | 1) => ({
      data: Float32Array.from(past[name] ?? []),
      shape: [from, ...(shapes[i] as number[])],
    });
    const positions = Int32Array.from({ length: to - from }, (_, i) => from + i);
    const { y: made, ...kept } = await program.read({
      x: { data: floats(piece), shape: piece.shape },
      ...(layer.config.ropeEnabled ? { positions } : {}),
      ...(from > 0 ? { "past k": rows("k", 0), "past v": rows("v", 1) } : {}),
    });
    program.dispose();
    found.push(made as Float32Array);
    for (const [name, values] of Object.entries(kept)) past[name]?.push(...values);
    from = to;
  }
  return found;
}
