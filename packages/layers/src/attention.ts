// Attention in three modes: standard, GQA (fewer key-value heads) and decoupled (DBA).
//
//   standard, gqa   score_h = rope(q_h) . rope(k_g) / sqrt(dh)                    g = floor(h / G)
//   decoupled       score_h = qs_h . ks_g / sqrt(ds) + rope(qg_h) . rope(kg_g) / sqrt(dg)
//
// Decoupled bottleneck attention sums a semantic path without positions and a geometric path with rotary positions
// before one softmax, which is one product of concatenated queries [qs/sqrt(ds), qg/sqrt(dg)] and keys [ks, kg]. Key
// and value heads may be shared in every mode; the cache holds one row per key-value head: ds + dg + dv numbers.
// The static gate g = sigmoid(gamma_h) weighs the paths by 2g and 2 - 2g, so that gamma = 0 changes nothing.
// The geometric frequencies are a (non-trainable) variable per key-value head: surgery keeps a teacher's own angles.
import {
  type AttentionGeometry,
  type AttentionLayerConfig,
  type AttentionLayerInput,
  attentionGeometry,
  attentionLayerConfig,
} from "@caramba/config";
import {
  attention,
  CarambaError,
  cachedAttention,
  concat,
  constant,
  type Dim,
  mul,
  reshape,
  rope,
  scopePath,
  sigmoid,
  sub,
  type Tensor,
  toCacheRows,
  transpose,
  Variable,
} from "@caramba/tensor";
import { LinearLayer } from "./linear.ts";
import { type CachedModule, type CachePart, callChild, type ForwardContext, Module, positionsOf } from "./module.ts";
import { inverseFrequencies, ropeTables } from "./rope.ts";

/** Options whose mathematics is not built: naming one is an error, never ignored. */
const unbuilt: readonly (readonly [keyof AttentionLayerConfig, string])[] = [
  ["ropeSemantic", "rope_semantic"],
  ["tieQk", "tie_qk"],
  ["nullAttn", "null_attn"],
  ["decoupledGateDynamic", "decoupled_gate_dynamic"],
  ["learnedTemp", "learned_temp"],
  ["dropoutP", "dropout_p"],
  ["memBlock", "mem_block"],
];

/** Self-attention [B, T, D] -> [B, T, D]. */
export class AttentionLayer extends Module implements CachedModule {
  readonly type = "AttentionLayer";
  readonly config: AttentionLayerConfig;
  readonly geometry: AttentionGeometry;
  /** Projections by checkpoint name: q_proj, k_proj or q_sem_proj, k_sem_proj, q_geo_proj, k_geo_proj; v_proj, out_proj. */
  readonly projections: ReadonlyMap<string, LinearLayer>;
  /** Gate logits [H]; null without a gate. */
  readonly gate: Variable | null;
  /** Inverse frequencies of the geometric path [Hkv, dg/2]; null outside decoupled mode or without rotary positions. */
  readonly geoFrequencies: Variable | null;

  constructor(input: AttentionLayerInput) {
    super();
    this.config = attentionLayerConfig(input);
    const { config } = this;
    for (const [key, spelling] of unbuilt)
      if (config[key])
        throw new CarambaError(`AttentionLayer: ${spelling} is not supported yet`, {
          code: "unsupported",
          remedy: `remove ${spelling} or set it to its default`,
        });
    this.geometry = attentionGeometry(config);
    const { nHeads, nKvHeads, headDim, semHeadDim, geoHeadDim, vHeadDim, vDim } = this.geometry;
    const linear = (dOut: number, dIn = config.dModel) => new LinearLayer({ dIn, dOut, bias: config.bias });
    const queriesAndKeys: [string, LinearLayer][] =
      config.mode === "decoupled"
        ? [
            ["q_sem_proj", linear(nHeads * semHeadDim)],
            ["k_sem_proj", linear(nKvHeads * semHeadDim)],
            ["q_geo_proj", linear(nHeads * geoHeadDim)],
            ["k_geo_proj", linear(nKvHeads * geoHeadDim)],
          ]
        : [
            ["q_proj", linear(nHeads * headDim)],
            ["k_proj", linear(nKvHeads * headDim)],
          ];
    this.projections = new Map([
      ...queriesAndKeys,
      ["v_proj", linear(nKvHeads * vHeadDim)],
      ["out_proj", linear(config.dModel, vDim)],
    ]);
    this.gate = config.decoupledGate ? new Variable("gate", [nHeads]) : null;
    this.geoFrequencies =
      config.mode === "decoupled" && config.ropeEnabled ? geometricFrequencies(config, nKvHeads, geoHeadDim) : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    const own: (readonly [string, Variable])[] = [];
    if (this.gate) own.push(["gate", this.gate]);
    if (this.geoFrequencies) own.push(["geo_inv_freq", this.geoFrequencies]);
    return own;
  }

  override get children(): readonly (readonly [string, Module])[] {
    return [...this.projections];
  }

  /** What is stored per token: K [Hkv, dk] and V [Hkv, dv]. */
  get cacheParts(): readonly CachePart[] {
    const { nKvHeads, headDim, vHeadDim } = this.geometry;
    return [
      { name: "k", heads: nKvHeads, width: headDim },
      { name: "v", heads: nKvHeads, width: vHeadDim },
    ];
  }

  /** Inverse frequencies of the rotated head width in standard mode, radians per position. */
  rotaryFrequencies(): Float32Array {
    return inverseFrequencies(this.geometry.headDim, this.config.ropeBase, this.config.ropeScaling);
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const { config, geometry } = this;
    const { q, k, scale } =
      config.mode === "decoupled" ? this.#decoupledScores(x, context) : this.#standardScores(x, context);
    const v = this.#heads("v_proj", x, geometry.nKvHeads, context);
    const options = {
      scale,
      causal: config.isCausal,
      ...(config.localWindow === null ? {} : { window: config.localWindow }),
    };
    const slot = context.cache?.(scopePath(), this);
    slot?.append(toCacheRows(k), toCacheRows(v));
    const y = slot?.past ? cachedAttention(q, k, v, slot.past.k, slot.past.v, options) : attention(q, k, v, options);
    const [b, t] = x.shape as [Dim, Dim];
    const merged = reshape(transpose(y, [0, 2, 1, 3]), [b, t, geometry.vDim]);
    return this.#project("out_proj", merged, context);
  }

  #standardScores(x: Tensor, context: ForwardContext): { q: Tensor; k: Tensor; scale: number } {
    const { config, geometry } = this;
    const q = this.#heads("q_proj", x, geometry.nHeads, context);
    const k = this.#heads("k_proj", x, geometry.nKvHeads, context);
    const scale = 1 / Math.sqrt(geometry.headDim);
    if (!config.ropeEnabled) return { q, k, scale };
    const values = this.rotaryFrequencies();
    const { cos, sin } = ropeTables(positionsOf(x, context), constant(values, [values.length]));
    return { q: rope(q, cos, sin), k: rope(k, cos, sin), scale };
  }

  #decoupledScores(x: Tensor, context: ForwardContext): { q: Tensor; k: Tensor; scale: number } {
    const { nHeads, nKvHeads, semHeadDim, geoHeadDim } = this.geometry;
    let qSem = mul(this.#heads("q_sem_proj", x, nHeads, context), 1 / Math.sqrt(semHeadDim));
    const kSem = this.#heads("k_sem_proj", x, nKvHeads, context);
    let qGeo = mul(this.#heads("q_geo_proj", x, nHeads, context), 1 / Math.sqrt(geoHeadDim));
    let kGeo = this.#heads("k_geo_proj", x, nKvHeads, context);
    if (this.gate) {
      const g = reshape(mul(sigmoid(this.gate.tensor), 2), [nHeads, 1, 1]);
      qSem = mul(qSem, g);
      qGeo = mul(qGeo, sub(2, g));
    }
    if (this.geoFrequencies) {
      // Tables per key-value head [Hkv, T, dg/2]; the queries of a group share them.
      const { cos, sin } = ropeTables(positionsOf(x, context), this.geoFrequencies.tensor);
      kGeo = rope(kGeo, cos, sin);
      qGeo = this.#rotateGrouped(qGeo, cos, sin);
    }
    return { q: concat([qSem, qGeo], 3), k: concat([kSem, kGeo], 3), scale: 1 };
  }

  #rotateGrouped(q: Tensor, cos: Tensor, sin: Tensor): Tensor {
    const { nHeads, nKvHeads, groupSize } = this.geometry;
    if (nHeads === nKvHeads) return rope(q, cos, sin);
    const [b, , t, d] = q.shape as [Dim, Dim, Dim, Dim];
    const pairs = cos.shape[2] as Dim;
    const table = (x: Tensor) => reshape(x, [nKvHeads, 1, t, pairs]);
    return reshape(rope(reshape(q, [b, nKvHeads, groupSize, t, d]), table(cos), table(sin)), q.shape);
  }

  #project(name: string, x: Tensor, context: ForwardContext): Tensor {
    return callChild(name, this.projections.get(name) as LinearLayer, x, context);
  }

  /** A projection split into heads: [B, T, D] -> [B, heads, T, d]. */
  #heads(name: string, x: Tensor, heads: number, context: ForwardContext): Tensor {
    const y = this.#project(name, x, context);
    const [b, t, width] = y.shape as [Dim, Dim, number];
    return transpose(reshape(y, [b, t, heads, width / heads]), [0, 2, 1, 3]);
  }
}

function geometricFrequencies(config: AttentionLayerConfig, heads: number, width: number): Variable {
  const init = () => {
    const one = inverseFrequencies(width, config.ropeBase, config.ropeScaling);
    const all = new Float32Array(heads * one.length);
    for (let head = 0; head < heads; head++) all.set(one, head * one.length);
    return all;
  };
  return new Variable("geo_inv_freq", [heads, width / 2], { init, trainable: false });
}
