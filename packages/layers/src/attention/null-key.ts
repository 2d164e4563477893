// A learned key and value per key-value head that every query sees (null_attn): somewhere to look when there is nothing
// to see. It has no position: it is not rotated, not normalised, no mask or window hides it, and no cache stores it.
// With random values of standard deviation 0.02 its score starts near 0, so a query whose n visible keys score about as
// much gives it 1 / (n + 1) of its attention from the start.
import { type AttentionLayerConfig, attentionGeometry } from "@caramba/config";
import { type AttentionSinks, concat, reshape, type Tensor, Variable } from "@caramba/tensor";
import { normalInit } from "../init.ts";

/** Its variables by name: k_null [Hkv, dh], in decoupled mode k_sem_null [Hkv, ds] and k_geo_null; v_null [Hkv, dv]. */
export function nullVariables(config: AttentionLayerConfig): ReadonlyMap<string, Variable> {
  const { nKvHeads, headDim, semHeadDim, geoHeadDim, vHeadDim } = attentionGeometry(config);
  const keys: [string, number][] =
    config.mode === "decoupled"
      ? [
          ["k_sem_null", semHeadDim],
          ["k_geo_null", geoHeadDim],
        ]
      : [["k_null", headDim]];
  const make = ([name, width]: [string, number]) =>
    [name, new Variable(name, [nKvHeads, width], { init: normalInit(0.02), decays: false })] as const;
  return new Map(config.nullAttn ? [...keys, ["v_null", vHeadDim] as [string, number]].map(make) : []);
}

/** The same as a sink of attention; undefined without one. */
export function nullSink(variables: ReadonlyMap<string, Variable>): AttentionSinks | undefined {
  const value = variables.get("v_null");
  if (!value) return undefined;
  const keys = [...variables].flatMap(([name, { tensor }]) => (name === "v_null" ? [] : [tensor]));
  const row = (x: Tensor) => reshape(x, [x.shape[0] as number, 1, x.shape[1] as number]);
  return { k: row(concat(keys, 1)), v: row(value.tensor) };
}
