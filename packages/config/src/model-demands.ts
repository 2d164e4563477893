/**
 * What runs, verifications and benchmarks demand of the model: that it has the attention layers they are about, that each
 * is applied once where it is trained by itself, that it can decode over a cache. All of it follows from the topology as
 * it is written, so it is told at its line and not after hours of training.
 */
import type { BenchmarkSpec } from "./benchmark.ts";
import type { KVCachePolicyConfig } from "./kvcache.ts";
import { type LayerConfig, layerSpec } from "./layer.ts";
import { type Path, placeOf } from "./places.ts";
import type { Run, Target } from "./plan.ts";
import type { PlanIssue } from "./supported.ts";
import { isTopology, type NodeConfig } from "./topology.ts";
import { childrenOf } from "./tree.ts";
import type { KVCacheVerifyConfig } from "./verify.ts";

/** A layer as it is written, with what is around it. */
interface PlacedLayer {
  readonly layer: LayerConfig;
  /** As manifests say it: `topology.layers[0].layers[1]`. */
  readonly place: string;
  /** Layers that it stands for: independent copies. */
  readonly copies: number;
  /** Times that a forward pass applies each copy. */
  readonly passes: number;
  /** Times that a forward pass applies the innermost residual branch around it; null when there is none. */
  readonly branchPasses: number | null;
}

function placedLayers(root: NodeConfig): PlacedLayer[] {
  const found: PlacedLayer[] = [];
  const walk = (node: NodeConfig, around: Omit<PlacedLayer, "layer">): void => {
    if (!isTopology(node)) return void found.push({ layer: node, ...around });
    const branchPasses = node.type === "ResidualTopology" ? around.passes : around.branchPasses;
    const passes = around.passes * (node.type === "CyclicTopology" ? node.iterations : 1);
    for (const { path, node: child, copies } of childrenOf(node)) {
      const place = path.reduce<string>(
        (s, key) => `${s}${typeof key === "number" ? `[${key}]` : `.${key}`}`,
        around.place,
      );
      walk(child, { place, copies: around.copies * copies, passes, branchPasses });
    }
  };
  walk(root, { place: "topology", copies: 1, passes: 1, branchPasses: null });
  return found;
}

/**
 * What makes a model's logits rest on tokens that are yet to come: `is_causal: false at topology.layers[0]`. Such a model
 * cannot decode over a cache. Null when nothing does.
 */
export function readsAhead(topology: NodeConfig): string | null {
  for (const { layer, place } of placedLayers(topology)) {
    const why = layerSpec(layer).readsAhead?.(layer) ?? null;
    if (why !== null) return `${why} at ${place}`;
  }
  return null;
}

const isOfOwn = ({ layer }: PlacedLayer): boolean => layer.type.includes("/");

/** What a target's runs and benchmarks ask of its model in vain. */
export function modelDemands(target: Target): PlanIssue[] {
  // A comparison of checkpoints takes its models from them.
  if (target.trainer.type === "checkpoint_compare") return [];
  const layers = placedLayers(target.model.topology);
  const leansOn: Path[] = [placeOf(target, "model", "topology")];
  const issues = [
    ...target.runs.flatMap((run) => [...blockwiseIssues(target, run, layers), ...verifyIssues(target, run, layers)]),
    ...target.benchmarks.flatMap((spec) => benchmarkIssues(target, spec)),
  ];
  return issues.map((issue) => ({ ...issue, leansOn }));
}

/** Blockwise distillation trains one attention layer, or the branch around it, by its own input and output. */
function blockwiseIssues(target: Target, run: Run, layers: readonly PlacedLayer[]): PlanIssue[] {
  if (run.train?.phase !== "blockwise") return [];
  const place = `target "${target.name}", run "${run.id}"`;
  const attention = layers.filter(({ layer }) => layer.type === "AttentionLayer");
  if (attention.length === 0 && !layers.some(isOfOwn))
    return [
      {
        ...{ code: "rule", path: placeOf(run, "train", "phase"), place },
        message: "blockwise distillation trains attention layers one by one, and the model has none",
        remedy: "distil it in the global phase (kd_weight)",
      },
    ];
  const issues: PlanIssue[] = [];
  const branch = run.train.blockwiseDistillTarget === "residual";
  const bare = attention.find(({ branchPasses }) => branch && branchPasses === null);
  if (bare)
    issues.push({
      ...{ code: "rule", path: placeOf(run, "train", "blockwise_distill_target"), place },
      message: `blockwise_distill_target residual imitates the ResidualTopology around an attention layer, and none is around ${bare.place}`,
      remedy: "use blockwise_distill_target: attention",
    });
  const timesOf = ({ passes, branchPasses }: PlacedLayer): number => (branch ? (branchPasses ?? 1) : passes);
  const again = attention.find((layer) => timesOf(layer) > 1);
  if (again)
    issues.push({
      ...{ code: "unsupported", path: placeOf(run, "train", "phase"), place },
      message: `blockwise distillation of ${branch ? "the branch around " : ""}${again.place}, which is applied ${timesOf(again)} times in one pass, is not supported yet`,
      remedy: "distil it in the global phase (kd_weight), or write the layers out",
    });
  return issues;
}

function verifyIssues(target: Target, run: Run, layers: readonly PlacedLayer[]): PlanIssue[] {
  const { verify } = run;
  if (!verify || target.trainer.type !== "upcycle") return [];
  const place = `target "${target.name}", run "${run.id}", verify`;
  if (verify.type === "kvcache" && !layers.some(isOfOwn)) return kvcacheIssues(run, verify, layers, place);
  const noAttention = !layers.some((placed) => isOfOwn(placed) || placed.layer.type === "AttentionLayer");
  if (verify.type === "compare" && verify.attention !== null && noAttention)
    return [
      {
        ...{ code: "rule", path: placeOf(run, "verify", "attention"), place },
        message: "the outputs of attention layers are compared, and the model has none",
        remedy: "leave attention out, and set thresholds on logits",
      },
    ];
  const ahead = verify.type === "eval" ? readsAhead(target.model.topology) : null;
  return ahead === null ? [] : [noCache(placeOf(run, "verify", "type"), place, "verify: {type: eval} decodes", ahead)];
}

function kvcacheIssues(
  run: Run,
  { nLayers, student }: KVCacheVerifyConfig,
  layers: readonly PlacedLayer[],
  place: string,
): PlanIssue[] {
  const attention = layers.flatMap(({ layer, copies, passes }) =>
    layer.type === "AttentionLayer" ? [{ decoupled: layer.mode === "decoupled", calls: copies * passes }] : [],
  );
  const issues: PlanIssue[] = [];
  const calls = attention.reduce((sum, layer) => sum + layer.calls, 0);
  if (nLayers !== null && nLayers !== calls)
    issues.push({
      ...{ code: "rule", path: placeOf(run, "verify", "n_layers"), place },
      message: `expected the number of attention layers that a pass of the model applies (${calls}), found ${nLayers}`,
      remedy: "leave n_layers out; it is read from the models",
    });
  const parts: [keyof KVCachePolicyConfig, string, boolean][] = [
    ["k", "k", attention.some(({ decoupled }) => !decoupled)],
    ["kSem", "k_sem", attention.some(({ decoupled }) => decoupled)],
    ["kGeo", "k_geo", attention.some(({ decoupled }) => decoupled)],
    ["v", "v", attention.length > 0],
  ];
  for (const [part, key, stored] of parts)
    if (student[part] !== null && !stored)
      issues.push({
        ...{ code: "rule", path: placeOf(run, "verify", "student", key), place },
        message: `the student's policy names ${key}, which no layer of the model stores`,
        remedy: "standard and GQA layers store k and v, decoupled ones k_sem, k_geo and v",
      });
  return issues;
}

function benchmarkIssues(target: Target, spec: BenchmarkSpec): PlanIssue[] {
  const way = withoutCache(spec.config);
  const ahead = way === null ? null : readsAhead(target.model.topology);
  if (way === null || ahead === null) return [];
  const place = `target "${target.name}", benchmark "${spec.id}"`;
  return [noCache(placeOf(spec, "config", "type"), place, `a ${spec.config.type} benchmark decodes`, ahead, way)];
}

/** The setting with which a benchmark that decodes the target's models over a cache does not; null for one that does not. */
function withoutCache(config: BenchmarkSpec["config"]): string | null {
  if (config.type === "latency" && config.useCache && config.checkpoint === null) return "use_cache: false";
  if (config.type !== "memory" || !config.measurePeak || config.checkpoint !== null) return null;
  return config.quantizationModes.some((kind) => kind === "fp16" || kind === "fp32") ? "measure_peak: false" : null;
}

const noCache = (path: Path, place: string, what: string, ahead: string, way?: string): PlanIssue => ({
  ...{ code: "unsupported", path, place },
  message: `${what} over a cache, which does not hold what is yet to come (${ahead})`,
  remedy: `${way === undefined ? "" : `set ${way}, or `}make every layer read the past alone`,
});
