// For tests: attention fed in pieces, each onto a cache that holds the ones before.
import { type Backend, compile, input, type Tensor } from "@caramba/tensor";
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

/** Outputs of the pieces of x [B, T, D] that end at the cuts. */
export async function feedPieces(
  backend: Backend,
  layer: AttentionLayer,
  x: Numbers,
  cuts: readonly number[],
  context: ForwardContext = {},
): Promise<Float32Array[]> {
  const batch = x.shape[0] as number;
  const found: Float32Array[] = [];
  const past: Record<string, number[]> = { k: [], v: [] };
  let from = 0;
  for (const to of cuts) {
    const piece = tokensOf(x, from, to);
    const fresh: Record<string, Tensor> = {};
    const [k, v] = layer.cacheParts.map(({ name, heads, width }) =>
      input(`past ${name}`, [from, batch * heads, width]),
    ) as [Tensor, Tensor];
    const y = layer.forward(input("x", piece.shape), {
      ...context,
      positions: input("positions", [to - from], "int32"),
      cache: () => ({
        past: from === 0 ? null : { k, v },
        append: (newK, newV) => Object.assign(fresh, { k: newK, v: newV }),
      }),
    });
    const program = await compile({ outputs: { y, ...fresh } }, { backend });
    const positions = Int32Array.from({ length: to - from }, (_, i) => from + i);
    const { y: rows, ...kept } = await program.read({
      x: floats(piece),
      ...(layer.config.ropeEnabled ? { positions } : {}),
      ...(from > 0
        ? { "past k": Float32Array.from(past["k"] ?? []), "past v": Float32Array.from(past["v"] ?? []) }
        : {}),
    });
    program.dispose();
    found.push(rows as Float32Array);
    for (const [name, values] of Object.entries(kept)) past[name]?.push(...values);
    from = to;
  }
  return found;
}
