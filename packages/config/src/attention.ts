/**
 * AttentionLayer: one config for standard, grouped-query and decoupled bottleneck attention (DBA), its rules, and
 * the widths that follow from it. Sizes are totals over heads; K and V are stored once per KV head in every mode.
 *
 *   standard, gqa:  head_dim = (attn_dim or d_model) / H;  attn_dim < d_model is the bottleneck form
 *   decoupled:      score_h = Qs Ks^T / sqrt(ds) + Qg Kg^T / sqrt(dg);  ds = sem_dim/H, dg = geo_dim/H, dv = v/H
 */
import { z } from "zod";
import { exactly, object, positive, positiveInt, probability, type RuleIssue, variants } from "./schema.ts";

export type AttentionMode = "standard" | "gqa" | "decoupled";

/**
 * Stretching of rotary frequencies for contexts longer than those trained on, in the form of a Hugging Face config:
 * `linear` divides all by the factor, `llama3` the low ones, `default` leaves them as they are.
 */
export type RopeScaling =
  | { ropeType: "default" }
  | { ropeType: "linear"; factor: number }
  | {
      ropeType: "llama3";
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositionEmbeddings: number;
    };

/** An attention layer with every default filled in. Widths in features, totals over all heads. */
export interface AttentionLayerConfig {
  type: "AttentionLayer";
  dModel: number;
  nHeads: number;
  /** null: as many as nHeads. */
  nKvHeads: number | null;
  mode: AttentionMode;
  /** Total width of the attention (in decoupled mode of V); null: dModel. */
  attnDim: number | null;
  /** Total semantic width (decoupled only). */
  semDim: number | null;
  /** Total geometric width (decoupled only); its per-head share is rotated. */
  geoDim: number | null;
  ropeEnabled: boolean;
  ropeBase: number;
  /** Rotated features per head (decoupled: of its geometric path), the first ones; null: all. */
  ropeDim: number | null;
  ropeScaling: RopeScaling | null;
  ropeSemantic: boolean;
  tieQk: boolean;
  nullAttn: boolean;
  decoupledGate: boolean;
  decoupledGateDynamic: boolean;
  isCausal: boolean;
  dropoutP: number;
  /** On the query, key and value projections. */
  bias: boolean;
  /** On the output projection; null: as bias. */
  outBias: boolean | null;
  /** RMSNorm of each head's query and key, before rotation. */
  qkNorm: boolean;
  qkNormEps: number;
  learnedTemp: boolean;
  qChunk: number | null;
  localWindow: number | null;
  /** Positions per summary of what lies beyond localWindow; null: it is not seen. */
  memBlock: number | null;
  /** Mean of keys and values, then a learned matrix (linear), or after a learned kernel of 3 positions (conv). */
  memSummarize: "mean" | "linear" | "conv";
  /** Keys, its own included, from which a query sees summaries; null: always. */
  memActivationThreshold: number | null;
  dbaTrainBackend: "auto" | "triton" | "sdpa";
  debugFusedDecode: boolean;
}

const rope = variants("rope_type", [
  object({
    rope_type: z.literal("llama3").describe("Low frequencies are slowed down, high ones left alone"),
    factor: positive.default(8).describe("How far low frequencies are slowed down (Llama 3.2 1B: 32)"),
    low_freq_factor: positive.default(1).describe("Wavelengths above context / this are stretched fully"),
    high_freq_factor: positive.default(4).describe("Wavelengths below context / this are left alone"),
    original_max_position_embeddings: positiveInt.default(8192).describe("Context length before stretching, in tokens"),
  }),
  object({
    rope_type: z.literal("linear").describe("All frequencies are slowed down alike (position interpolation)"),
    factor: positive.describe("How far, such as 4 for a context four times as long"),
  }),
  object({ rope_type: z.literal("default").describe("Frequencies as they are") }),
]);

const shape = {
  type: z.literal("AttentionLayer"),
  d_model: positiveInt.describe("Input and output width"),
  n_heads: positiveInt.describe("Query heads"),
  n_kv_heads: positiveInt
    .nullable()
    .default(null)
    .describe("Key/value heads shared by groups of query heads; default n_heads"),
  mode: z
    .enum(["standard", "gqa", "decoupled"])
    .default("standard")
    .describe("standard and gqa are one code path; decoupled is DBA (semantic + geometric keys)"),
  attn_dim: positiveInt
    .nullable()
    .default(null)
    .describe("Total attention width, default d_model; smaller is the bottleneck form; in decoupled mode V's width"),
  sem_dim: positiveInt.nullable().default(null).describe("Decoupled: total semantic query/key width, no rotation"),
  geo_dim: positiveInt.nullable().default(null).describe("Decoupled: total geometric query/key width, rotated"),
  rope_enabled: z.boolean().default(true).describe("Rotary position embedding on Q and K (decoupled: geometric part)"),
  rope_base: positive.default(10000).describe("Base of the rotary frequencies (Llama 3: 500000)"),
  rope_dim: positiveInt
    .nullable()
    .default(null)
    .describe("Rotated features per head (decoupled: per geometric head), even; the rest pass through; default all"),
  rope_scaling: rope.nullable().default(null).describe("Context stretching as in a Hugging Face config.json"),
  rope_semantic: z.boolean().default(false).describe("Decoupled: rotate the semantic Q and K too"),
  tie_qk: z.boolean().default(false).describe("Decoupled: one matrix for semantic Q and K"),
  null_attn: z.boolean().default(false).describe("A learned key and value per head that is always visible"),
  decoupled_gate: z.boolean().default(false).describe("Decoupled: learned per-head mix of the two scores"),
  decoupled_gate_dynamic: z.boolean().default(false).describe("Decoupled: the mix also depends on the input"),
  is_causal: z.boolean().default(true).describe("A token sees itself and earlier tokens only"),
  dropout_p: probability.default(0).describe("Dropout on attention weights while training"),
  bias: z.boolean().default(false).describe("Bias on the query, key and value projections, and on the output"),
  out_bias: z
    .boolean()
    .nullable()
    .default(null)
    .describe("Bias on the output projection; default as bias (Qwen2: false)"),
  qk_norm: z.boolean().default(false).describe("RMSNorm of every head's query and key before rotation, as Qwen3"),
  qk_norm_eps: positive.default(1e-6).describe("Epsilon of that norm"),
  learned_temp: z.boolean().default(false).describe("Learned per-head temperature of the scores"),
  q_chunk: positiveInt
    .nullable()
    .default(null)
    .describe("Score queries in blocks of this many rows, for less memory; same result"),
  local_window: positiveInt.nullable().default(null).describe("Sliding window: see only the last this many tokens"),
  mem_block: positiveInt
    .nullable()
    .default(null)
    .describe("Positions beyond local_window that are seen as one; default: none of them is seen"),
  mem_summarize: z
    .enum(["mean", "linear", "conv"])
    .default("mean")
    .describe("mean of keys and values; linear: times a learned matrix; conv: after a learned kernel of 3 positions"),
  mem_activation_threshold: positiveInt
    .nullable()
    .default(null)
    .describe("Keys from which a query sees summaries; default always"),
  dba_train_backend: z
    .enum(["auto", "triton", "sdpa"])
    .default("auto")
    .describe("Informational: kernel of the original"),
  debug_fused_decode: z.boolean().default(false).describe("Informational: debugging switch of the original"),
};

/** Schema of one attention layer in manifest spelling. */
export const attentionLayerSchema: z.ZodType<AttentionLayerConfig> = exactly<AttentionLayerConfig>()(
  object(shape, attentionRules),
);

/** Widths that follow from an attention config; see `attentionGeometry`. */
export interface AttentionGeometry {
  nHeads: number;
  nKvHeads: number;
  /** Query heads per KV head. */
  groupSize: number;
  /** Width of one head's query/key: ds + dg in decoupled mode. */
  headDim: number;
  /** 0 unless decoupled. */
  semHeadDim: number;
  /** 0 unless decoupled. */
  geoHeadDim: number;
  vHeadDim: number;
  /** Total value width over query heads (the input width of the output projection). */
  vDim: number;
  /** Numbers stored per token by this layer's cache: K and V of all KV heads, scales excluded. */
  kvElementsPerToken: number;
}

/** Head widths and cache size of an attention layer (spec: K and V once per KV head in every mode). */
export function attentionGeometry(
  config: Pick<AttentionLayerConfig, "dModel" | "nHeads" | "nKvHeads" | "mode" | "attnDim" | "semDim" | "geoDim">,
): AttentionGeometry {
  const { nHeads } = config;
  const nKvHeads = config.nKvHeads ?? nHeads;
  const vDim = config.attnDim ?? config.dModel;
  const vHeadDim = vDim / nHeads;
  const decoupled = config.mode === "decoupled";
  const semHeadDim = decoupled ? (config.semDim ?? 0) / nHeads : 0;
  const geoHeadDim = decoupled ? (config.geoDim ?? 0) / nHeads : 0;
  const headDim = decoupled ? semHeadDim + geoHeadDim : vHeadDim;
  return {
    nHeads,
    nKvHeads,
    groupSize: nHeads / nKvHeads,
    headDim,
    semHeadDim,
    geoHeadDim,
    vHeadDim,
    vDim,
    kvElementsPerToken: nKvHeads * (headDim + vHeadDim),
  };
}

/** Rotated features per head: of the whole head, or of its geometric path in decoupled mode; 0 without rotation. */
export function rotatedHeadDim(config: AttentionLayerConfig): number {
  if (!config.ropeEnabled) return 0;
  const { headDim, geoHeadDim } = attentionGeometry(config);
  return config.ropeDim ?? (config.mode === "decoupled" ? geoHeadDim : headDim);
}

/**
 * The option (manifest spelling) for which surgery cannot make this decoupled layer from a plain one's weights, or null.
 * Its factors are bilinear forms with a position-free semantic part: norms are no part of them, tied or rotated semantic
 * factors another problem, and whole rotary pairs are moved into the geometric part.
 */
export function surgeryObstacle(config: AttentionLayerConfig): string | null {
  const { qkNorm, tieQk, ropeSemantic, ropeEnabled } = config;
  const obstacles: [string, boolean][] = [
    ["qk_norm", qkNorm],
    ["tie_qk", tieQk],
    ["rope_semantic", ropeSemantic],
    ["rope_enabled: false", !ropeEnabled],
    ["rope_dim", rotatedHeadDim(config) !== attentionGeometry(config).geoHeadDim],
  ];
  return obstacles.find(([, found]) => found)?.[0] ?? null;
}

/** Everything wrong with an attention config whose fields are valid by themselves; paths in manifest spelling. */
export function attentionRules(config: AttentionLayerConfig): RuleIssue[] {
  const issues: RuleIssue[] = [];
  const add = (key: string, message: string): void => {
    issues.push({ path: [key], message });
  };
  const { nHeads } = config;
  const nKv = config.nKvHeads ?? nHeads;
  const decoupled = config.mode === "decoupled";
  // Where the number of heads is wrong for the width, the number that it becomes decides.
  const headsFit = config.attnDim !== null || config.dModel % nHeads === 0;
  if (nHeads % nKv !== 0 && (headsFit || config.dModel % nKv !== 0)) {
    add(
      "n_kv_heads",
      `expected a divisor of n_heads (${nHeads}), found ${nKv}: every KV head serves n_heads / n_kv_heads query heads`,
    );
  }
  const divides = (key: string, width: number, what: string): boolean => {
    if (width % nHeads === 0) return true;
    add(
      key,
      `expected ${what} divisible by n_heads (${nHeads}), found ${width}; the nearest are ${near(width, nHeads)}`,
    );
    return false;
  };
  const even = (key: string, width: number, what: string): void => {
    if ((width / nHeads) % 2 !== 0) {
      add(
        key,
        `expected an even ${what} per head for rotary embedding, found ${width} / ${nHeads} = ${width / nHeads}; the nearest widths are ${near(width, 2 * nHeads)}`,
      );
    }
  };
  rotationRules(config, add);
  memoryRules(config, add);
  const allRotated = config.ropeEnabled && config.ropeDim === null;
  const width = config.attnDim ?? config.dModel;
  const widthKey = config.attnDim === null ? "d_model" : "attn_dim";
  const what = decoupled ? "a value width" : "an attention width";
  const fits = config.attnDim === null ? headsDivide(nHeads, width, what, add) : divides(widthKey, width, what);
  if (!decoupled) {
    if (fits && allRotated) even(widthKey, width, "head_dim");
    const only = {
      sem_dim: config.semDim,
      geo_dim: config.geoDim,
      rope_semantic: config.ropeSemantic,
      tie_qk: config.tieQk,
    };
    const gates = { decoupled_gate: config.decoupledGate, decoupled_gate_dynamic: config.decoupledGateDynamic };
    for (const [key, value] of Object.entries({ ...only, ...gates })) {
      if (value) add(key, `expected no ${key} in mode "${config.mode}", found ${value}: it needs mode: decoupled`);
    }
    return issues;
  }
  if (config.semDim === null)
    add("sem_dim", "expected a width (mode: decoupled needs sem_dim and geo_dim), found none");
  else if (divides("sem_dim", config.semDim, "a semantic width") && config.ropeSemantic && config.ropeEnabled) {
    even("sem_dim", config.semDim, "semantic width");
  }
  if (config.geoDim === null)
    add("geo_dim", "expected a width (mode: decoupled needs sem_dim and geo_dim), found none");
  else if (divides("geo_dim", config.geoDim, "a geometric width") && allRotated) {
    even("geo_dim", config.geoDim, "geometric width");
  }
  if (config.tieQk && nKv !== nHeads) {
    add(
      "tie_qk",
      `expected n_kv_heads = n_heads (${nHeads}) with tie_qk, found n_kv_heads ${nKv}: a shared KV head has no query matrix of its own`,
    );
  }
  if (config.decoupledGateDynamic && !config.decoupledGate) {
    add("decoupled_gate_dynamic", "expected decoupled_gate: true with decoupled_gate_dynamic: true, found false");
  }
  return issues;
}

/** In order; of a width beyond all reason only the smallest and the largest, found in a bounded time. */
function divisorsOf(width: number): number[] {
  const small: number[] = [];
  for (let n = 1; n * n <= width && n <= 100_000; n++) if (width % n === 0) small.push(n);
  return [...new Set([...small, ...small.toReversed().map((n) => width / n)])];
}

/** The width of the stream is what its neighbours have: the number of heads must change, or the attention get its own. */
function headsDivide(nHeads: number, width: number, what: string, add: AddIssue): boolean {
  if (width % nHeads === 0) return true;
  const divisors = divisorsOf(width);
  const [below, above] = [divisors.filter((n) => n < nHeads).at(-1), divisors.find((n) => n > nHeads)];
  const nearest = [below, above].filter((n) => n !== undefined).join(" and ");
  const plural = nearest.includes(" ") ? "the nearest are" : "the nearest is";
  add(
    "n_heads",
    `expected a divisor of d_model (${width}), found ${nHeads}; ${plural} ${nearest}. Or give ${what} of its own: attn_dim ${near(width, nHeads).replace(" and ", " or ")}`,
  );
  return false;
}

type AddIssue = (key: string, message: string) => void;

function rotationRules(config: AttentionLayerConfig, add: AddIssue): void {
  const { ropeEnabled, ropeDim, ropeSemantic, ropeScaling } = config;
  if (!ropeEnabled) {
    const given = { rope_dim: ropeDim !== null, rope_semantic: ropeSemantic, rope_scaling: ropeScaling !== null };
    for (const [key, isGiven] of Object.entries(given))
      if (isGiven) add(key, `expected no ${key} with rope_enabled: false, found one: nothing is rotated`);
    return;
  }
  if (ropeDim === null) return;
  const { headDim, geoHeadDim } = attentionGeometry(config);
  const [what, width] = config.mode === "decoupled" ? ["geo_dim / n_heads", geoHeadDim] : ["the head width", headDim];
  if (ropeDim % 2 !== 0) add("rope_dim", `expected an even number of rotated features, found ${ropeDim}`);
  else if (ropeDim > width) add("rope_dim", `expected at most ${what} = ${width}, found ${ropeDim}`);
}

/** Summaries are of what lies behind a window. */
function memoryRules(config: AttentionLayerConfig, add: AddIssue): void {
  const { memBlock, memSummarize, memActivationThreshold, localWindow, isCausal } = config;
  if (memBlock !== null) {
    const what = `expected no mem_block, found ${memBlock}`;
    if (localWindow === null)
      add("mem_block", `${what}: it summarises what lies beyond local_window, which is not set`);
    if (!isCausal) add("mem_block", `${what}: it summarises the past, and with is_causal: false there is none`);
    return;
  }
  const remedy = "it belongs to mem_block, which is not set";
  if (memSummarize !== "mean") add("mem_summarize", `expected mean, found ${memSummarize}: ${remedy}`);
  if (memActivationThreshold !== null)
    add("mem_activation_threshold", `expected none, found ${memActivationThreshold}: ${remedy}`);
}

function near(width: number, step: number): string {
  const below = Math.floor(width / step) * step;
  return below === 0 ? `${step}` : `${below} and ${below + step}`;
}
