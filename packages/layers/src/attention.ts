// Attention in three modes: standard, GQA (fewer key-value heads) and decoupled (DBA).
//
//   standard, gqa   score_h = rope(q_h) . rope(k_g) / sqrt(dh)                    g = floor(h / G)
//   decoupled       score_h = qs_h . ks_g / sqrt(ds) + rope(qg_h) . rope(kg_g) / sqrt(dg)
//
// Decoupled bottleneck attention sums a semantic path without positions and a geometric path with rotary positions
// before one softmax, which is one product of concatenated queries [qs/sqrt(ds), qg/sqrt(dg)] and keys [ks, kg]. Key
// and value heads may be shared in every mode; the cache holds one row per key-value head: ds + dg + dv numbers.
// A head's query and key pass, in this order: projection, norm (qk_norm), gate, rotation, temperature.
// The geometric frequencies are a (non-trainable) variable per key-value head: surgery keeps a teacher's own angles.
//
// attention/ has the parts: score paths and their weights, gate and temperature, the null key, blocks of queries, and
// summaries of what lies beyond a window.
import {
  type AttentionGeometry,
  type AttentionLayerConfig,
  type AttentionLayerInput,
  attentionGeometry,
  attentionLayerConfig,
  rotatedHeadDim,
} from "@caramba/config";
import {
  type AttentionOptions,
  type AttentionSinks,
  addDims,
  CarambaError,
  cachedAttention,
  concat,
  constant,
  type Dim,
  mul,
  random,
  reshape,
  scopePath,
  sub,
  type Tensor,
  toCacheRows,
  transpose,
  type UncachedAttentionOptions,
  Variable,
} from "@caramba/tensor";
import { chunkedAttention } from "./attention/chunks.ts";
import { nullSink, nullVariables } from "./attention/null-key.ts";
import { buildNorms, buildProjections, type ScorePath, scorePaths } from "./attention/paths.ts";
import { temperatureFactor, twiceGate } from "./attention/query-weights.ts";
import { buildSummaries, type Summaries } from "./attention/summaries.ts";
import { summarizedAttention } from "./attention/summarized-attention.ts";
import { zerosInit } from "./init.ts";
import { LinearLayer } from "./linear.ts";
import { type CachedModule, type CachePart, callChild, type ForwardContext, Module, positionsOf } from "./module.ts";
import type { RMSNormLayer } from "./norm.ts";
import { inverseFrequencies, ropeTables, rotate, rotateGroups } from "./rope.ts";

interface Heads {
  readonly q: Tensor;
  readonly k: Tensor;
}

/** Self-attention [B, T, D] -> [B, T, D]. */
export class AttentionLayer extends Module implements CachedModule {
  readonly type = "AttentionLayer";
  readonly config: AttentionLayerConfig;
  readonly geometry: AttentionGeometry;
  /**
   * Projections by checkpoint name: q_proj, k_proj or q_sem_proj, k_sem_proj (not with tie_qk), q_geo_proj, k_geo_proj;
   * v_proj, out_proj.
   */
  readonly projections: ReadonlyMap<string, LinearLayer>;
  /** Norms of queries and keys by checkpoint name: q_norm, k_norm or q_sem_norm, ...; empty without qk_norm. */
  readonly norms: ReadonlyMap<string, RMSNormLayer>;
  /** Gate logits [H]; null without a gate. */
  readonly gate: Variable | null;
  /** Gate logits of a token: D -> H; null unless the gate is dynamic. */
  readonly gateProjection: LinearLayer | null;
  /** Logarithm of each head's factor on its scores [H]; null without learned temperature. */
  readonly temperature: Variable | null;
  /** The null key's and value's variables by name; empty without null_attn. */
  readonly nullKey: ReadonlyMap<string, Variable>;
  /** Summaries of the far past; null without mem_block. */
  readonly summaries: Summaries | null;
  /** Inverse frequencies of the geometric path [Hkv, R/2]; null outside decoupled mode or without rotary positions. */
  readonly geoFrequencies: Variable | null;
  readonly #paths: readonly ScorePath[];

  constructor(input: AttentionLayerInput) {
    super();
    this.config = attentionLayerConfig(input);
    const { config } = this;
    this.geometry = attentionGeometry(config);
    const { nHeads, nKvHeads } = this.geometry;
    this.#paths = scorePaths(config);
    this.projections = buildProjections(config, this.#paths);
    this.norms = buildNorms(config, this.#paths);
    this.gate = config.decoupledGate ? new Variable("gate", [nHeads]) : null;
    this.gateProjection = config.decoupledGateDynamic
      ? new LinearLayer({ dIn: config.dModel, dOut: nHeads, bias: false }, zerosInit)
      : null;
    this.temperature = config.learnedTemp ? new Variable("temperature", [nHeads]) : null;
    this.nullKey = nullVariables(config);
    this.summaries = buildSummaries(config);
    const rotated = config.mode === "decoupled" ? rotatedHeadDim(config) : 0;
    this.geoFrequencies = rotated > 0 ? geometricFrequencies(config, nKvHeads, rotated) : null;
  }

  override get ownVariables(): readonly (readonly [string, Variable])[] {
    const own: (readonly [string, Variable])[] = [];
    if (this.gate) own.push(["gate", this.gate]);
    if (this.temperature) own.push(["temperature", this.temperature]);
    own.push(...this.nullKey, ...(this.summaries?.weights ?? []));
    if (this.geoFrequencies) own.push(["geo_inv_freq", this.geoFrequencies]);
    return own;
  }

  override get children(): readonly (readonly [string, Module])[] {
    const gate: [string, Module][] = this.gateProjection ? [["gate_proj", this.gateProjection]] : [];
    return [...this.projections, ...this.norms, ...gate];
  }

  /** What is stored per token: K [Hkv, dk] and V [Hkv, dv]. */
  get cacheParts(): readonly CachePart[] {
    const { nKvHeads, headDim, vHeadDim } = this.geometry;
    return [
      { name: "k", heads: nKvHeads, width: headDim },
      { name: "v", heads: nKvHeads, width: vHeadDim },
    ];
  }

  /** Inverse frequencies of a head's rotated features in standard mode, radians per position. */
  rotaryFrequencies(): Float32Array {
    const { ropeBase, ropeScaling } = this.config;
    return inverseFrequencies(rotatedHeadDim(this.config), ropeBase, ropeScaling);
  }

  forward(x: Tensor, context: ForwardContext = {}): Tensor {
    const { config, geometry } = this;
    const { q, k } = this.#scores(x, context);
    const v = this.#heads("v_proj", x, geometry.nKvHeads, context);
    const slot = context.cache?.(scopePath(), this);
    slot?.append(toCacheRows(k), toCacheRows(v));
    const window = context.localWindow === undefined ? config.localWindow : context.localWindow;
    const sinks = nullSink(this.nullKey);
    const dropped = context.training === true && config.dropoutP > 0;
    if (slot?.past && !config.isCausal)
      throw new CarambaError(`${scopePath()}: an AttentionLayer that is not causal reads what is yet to come`, {
        code: "unsupported",
        remedy: "decode with is_causal: true, or run the model without a cache",
      });
    if (slot?.past && dropped)
      throw new CarambaError(`${scopePath()}: dropout in attention over a cache`, {
        code: "unsupported",
        remedy: "train without a cache, or generate without `training`",
      });
    const common = {
      // Decoupled queries have their scales in them.
      scale: config.mode === "decoupled" ? 1 : 1 / Math.sqrt(geometry.headDim),
      ...(sinks ? { sinks } : {}),
    };
    const dropout = dropped ? this.#dropout(q, k, sinks) : {};
    const chunk = context.qChunk === undefined ? config.qChunk : context.qChunk;
    const options: AttentionOptions = { ...common, causal: config.isCausal, ...(window === null ? {} : { window }) };
    const y =
      this.summaries && window !== null
        ? summarizedAttention(q, k, v, slot?.past ?? null, this.summaries, { ...common, window, ...dropout }, chunk)
        : slot?.past
          ? cachedAttention(q, k, v, slot.past.k, slot.past.v, options)
          : chunkedAttention(q, k, v, { ...options, ...dropout }, chunk);
    const [b, t] = x.shape as [Dim, Dim];
    const merged = reshape(transpose(y, [0, 2, 1, 3]), [b, t, geometry.vDim]);
    return this.#project("out_proj", merged, context);
  }

  /** Queries [B, H, T, dk] and keys [B, Hkv, T, dk], all paths side by side. */
  #scores(x: Tensor, context: ForwardContext): Heads {
    const gate = this.gate ? twiceGate(this.gate.tensor, this.#gateLogits(x, context)) : null;
    const paths = this.#paths.map((path) => this.#path(path, x, gate, context));
    const q = concat(
      paths.map((path) => path.q),
      3,
    );
    return {
      q: this.temperature ? mul(q, temperatureFactor(this.temperature.tensor)) : q,
      k: concat(
        paths.map((path) => path.k),
        3,
      ),
    };
  }

  #path(path: ScorePath, x: Tensor, gate: Tensor | null, context: ForwardContext): Heads {
    const { nHeads, nKvHeads } = this.geometry;
    const { part, width } = path;
    const heads = this.#heads(path.query, x, nHeads, context);
    let q = this.#normed(path.queryNorm, heads, context);
    const keys = path.key === path.query ? heads : this.#heads(path.key, x, nKvHeads, context);
    const k = this.#normed(path.keyNorm, keys, context);
    if (part !== "") q = mul(q, 1 / Math.sqrt(width));
    if (gate) q = mul(q, part === "sem" ? gate : sub(2, gate));
    return this.#rotated(part, { q, k }, x, context);
  }

  #rotated(part: ScorePath["part"], { q, k }: Heads, x: Tensor, context: ForwardContext): Heads {
    const { ropeEnabled, ropeSemantic, ropeBase, ropeScaling } = this.config;
    if (part === "geo") {
      if (!this.geoFrequencies) return { q, k };
      // Tables per key-value head [Hkv, T, R/2]; the queries of a group share them.
      const tables = ropeTables(positionsOf(x, context), this.geoFrequencies.tensor);
      return { q: rotateGroups(q, tables), k: rotate(k, tables) };
    }
    if (!ropeEnabled || (part === "sem" && !ropeSemantic)) return { q, k };
    const values =
      part === "sem" ? inverseFrequencies(this.geometry.semHeadDim, ropeBase, ropeScaling) : this.rotaryFrequencies();
    const tables = ropeTables(positionsOf(x, context), constant(values, [values.length]));
    return { q: rotate(q, tables), k: rotate(k, tables) };
  }

  #gateLogits(x: Tensor, context: ForwardContext): Tensor | null {
    return this.gateProjection ? callChild("gate_proj", this.gateProjection, x, context) : null;
  }

  #normed(name: string, heads: Tensor, context: ForwardContext): Tensor {
    const norm = this.norms.get(name);
    return norm ? callChild(name, norm, heads, context) : heads;
  }

  #dropout(q: Tensor, k: Tensor, sinks: AttentionSinks | undefined): Pick<UncachedAttentionOptions, "dropout"> {
    const [b, h, t] = q.shape as [Dim, Dim, Dim, Dim];
    const keys = addDims(k.shape[2] as Dim, sinks?.k.shape[1] ?? 0);
    const uniform = random(`dropout:${scopePath()}`, [b, h, t, keys]);
    return { dropout: { p: this.config.dropoutP, uniform } };
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
