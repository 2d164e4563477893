// The attention layer's entry among the layers; its schema, rules and widths are in ../attention.ts.
import { type AttentionLayerConfig, attentionGeometry, attentionLayerSchema, type RopeScaling } from "../attention.ts";
import { type Defaulted, fromCode, type LayerFields } from "../fill-in.ts";
import { follow, type LayerSpec, type Resize } from "../layer-spec.ts";
import { formatShape } from "../shape.ts";

export type RopeScalingInput = Defaulted<RopeScaling, "ropeType">;
export type AttentionLayerInput = LayerFields<Omit<AttentionLayerConfig, "ropeScaling">, "dModel" | "nHeads"> & {
  ropeScaling?: RopeScalingInput | null | undefined;
};

export const attentionLayerSpec: LayerSpec<AttentionLayerConfig> = {
  type: "AttentionLayer",
  schema: attentionLayerSchema,
  width: ({ dModel }) => ({ key: "d_model", value: dModel }),
  demands: (_, input) =>
    input.length === 3
      ? []
      : [{ path: [], message: `expected an input [B, T, d_model] for attention, found ${formatShape(input)}` }],
  parameters: attentionParameters,
  cacheElementsPerToken: (config) => attentionGeometry(config).kvElementsPerToken,
  resize,
  words: attentionWords,
};

/** `attentionLayerConfig({ dModel: 256, nHeads: 8, mode: "decoupled", semDim: 32, geoDim: 64 })`. */
export function attentionLayerConfig(input: AttentionLayerInput): AttentionLayerConfig {
  return fromCode(attentionLayerSchema, "AttentionLayer", { type: "AttentionLayer", ...input });
}

function attentionParameters(layer: AttentionLayerConfig): number {
  const { nHeads, nKvHeads, headDim, semHeadDim, vHeadDim, vDim } = attentionGeometry(layer);
  const tied = layer.mode === "decoupled" && layer.tieQk ? nKvHeads * semHeadDim : 0;
  const rows = nHeads * headDim + nKvHeads * (headDim + vHeadDim) - tied;
  const bias = layer.bias ? rows + layer.dModel : 0;
  const gate = layer.decoupledGate ? nHeads : 0;
  return rows * layer.dModel + layer.dModel * vDim + bias + gate;
}

function attentionWords(layer: AttentionLayerConfig): string {
  const { nHeads, nKvHeads, kvElementsPerToken } = attentionGeometry(layer);
  const widths = layer.mode === "decoupled" ? ` sem_dim=${layer.semDim} geo_dim=${layer.geoDim}` : "";
  const attn = layer.attnDim === null ? "" : ` attn_dim=${layer.attnDim}`;
  return `mode=${layer.mode} heads=${nHeads}/${nKvHeads}${widths}${attn} kv_elements_per_token=${kvElementsPerToken}`;
}

function resize(layer: AttentionLayerConfig, to: Resize): AttentionLayerConfig {
  const { nHeads } = to;
  const { attnDim, semDim, geoDim } = layer;
  // An even share per head, so that it can be rotated.
  const share = (size: number | null): number | null =>
    size === null ? null : 2 * nHeads * Math.max(1, Math.round(((size / to.from) * to.to) / (2 * nHeads)));
  return {
    ...layer,
    dModel: follow(layer.dModel, to),
    nHeads,
    nKvHeads: layer.nKvHeads === null ? null : divisorBelow(nHeads, (layer.nKvHeads / layer.nHeads) * nHeads),
    attnDim: share(attnDim),
    semDim: share(semDim),
    geoDim: share(geoDim),
  };
}

function divisorBelow(n: number, wanted: number): number {
  let best = 1;
  for (let k = 1; k <= Math.max(1, wanted); k++) if (n % k === 0) best = k;
  return best;
}
