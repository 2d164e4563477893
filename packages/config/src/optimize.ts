/**
 * A model of a stated size. Depth follows the rule L = sqrt(P)/1000 x context factor, between 4 and 80; the width is
 * then the one whose feed-forward, tuned in steps of 8 to land on the target, stays nearest to its usual share of it.
 * One container of blocks is repeated and nothing else, widths below d_model keep their share of it, n_kv_heads
 * divides n_heads, and a head follows the width; so the count is met, not only aimed at.
 */
import { ConfigError, formatPath } from "./error.ts";
import { modelConfig } from "./from-code.ts";
import { type LayerConfig, layerSpec } from "./layer.ts";
import type { Resize } from "./layer-spec.ts";
import { llamaModel } from "./llama-model.ts";
import type { ModelConfig } from "./model.ts";
import { modelParameters } from "./parameters.ts";
import { isTopology, type NodeConfig, type TopologyConfig } from "./topology.ts";
import { childrenOf, layersOf, mapChildren } from "./tree.ts";

/** The kind of model that `optimize` sizes when it is given none. */
export interface OptimizeOptions {
  /** Default 32000. */
  vocabSize?: number;
  /** Context in tokens; longer ones make deeper models. Default 2048. */
  blockSize?: number;
}

/** How far the count may be from the target. */
const tolerance = 0.1;

/**
 * A Llama-like model (grouped queries, SwiGLU, tied embeddings) of about `targetParams` parameters, within 10 %.
 * Throws ConfigError where no such model exists: the embedding of the narrowest model, vocab_size x 32, alone exceeds
 * the target.
 */
export function optimize(targetParams: number, options: OptimizeOptions = {}): ModelConfig {
  const { vocabSize = 32000, blockSize = 2048 } = options;
  const attention = { nHeads: 8, nKvHeads: 2, mode: "gqa" } as const;
  const base = llamaModel({ vocabSize, blockSize, dModel: 512, layers: 8, attention, feedForward: 1408 });
  return optimizeModel(modelConfig(base), targetParams);
}

/**
 * The model resized to about `targetParams` parameters (within 10 %), its attention kind and proportions kept. Needs a
 * token embedder. Throws ConfigError where no width and depth meet the target, or widths do not follow the model's.
 */
export function optimizeModel(model: ModelConfig, targetParams: number): ModelConfig {
  const { embedder } = model;
  if (!(Number.isFinite(targetParams) && targetParams > 0))
    throw refusal(`expected a number of parameters greater than 0, found ${targetParams}`);
  if (embedder.type !== "token") throw refusal("expected a model with a token embedder, found embedder none");
  const context = model.blockSize ?? 2048;
  const factor = Math.min(2, Math.max(0.5, Math.sqrt(Math.max(1, Math.log2(context) / 11))));
  const wantedDepth = Math.min(80, Math.max(4, Math.round((Math.sqrt(targetParams) / 1000) * factor)));
  const container = repeatedContainer(model.topology);
  const ratio = feedForwardRatio(model.topology, embedder.dModel);
  let best: { readonly model: ModelConfig; readonly cost: number } | null = null;
  const depths = container === null ? [1] : near(wantedDepth);
  for (const depth of depths) {
    for (let d = 32; embedder.vocabSize * d <= targetParams * (1 + tolerance); d += step(d)) {
      const sized = (dFf: number): ModelConfig => resize(model, embedder.dModel, d, dFf, container, depth);
      const [low, high] = [modelParameters(sized(8)), modelParameters(sized(16))];
      // Parameters grow linearly with d_ff.
      const exact = high > low ? 8 + ((targetParams - low) / (high - low)) * 8 : ratio * d;
      const dFf = 8 * Math.round(Math.min(2.5 * ratio * d, Math.max(ratio * d * 0.4, exact)) / 8);
      const candidate = sized(Math.max(8, dFf));
      const error = Math.abs(modelParameters(candidate) / targetParams - 1);
      const cost =
        (error <= tolerance ? 10 * error : 1000 + error) +
        Math.abs(Math.log(dFf / (ratio * d))) +
        Math.abs(Math.log(depth / wantedDepth));
      if (best === null || cost < best.cost) best = { model: candidate, cost };
      if (low > targetParams * (1 + tolerance)) break;
    }
  }
  if (best === null || Math.abs(modelParameters(best.model) / targetParams - 1) > tolerance)
    throw refusal(
      `expected a target within reach, found ${targetParams}: ${best === null ? `the embedding of a model of width 32 has ${embedder.vocabSize * 32} parameters` : `the nearest model has ${modelParameters(best.model)}`}`,
    );
  demandFit(best.model, embedder.dModel);
  return best.model;
}

/** Sizes that were not the model's width stay: where two of them made it up, as branches side by side do, nothing fits. */
function demandFit(model: ModelConfig, before: number): void {
  try {
    modelConfig(model);
  } catch (error) {
    const [issue] = error instanceof ConfigError ? error.issues : [];
    if (!issue) throw error;
    throw refusal(
      `expected a model whose widths follow d_model; sizes other than ${before} stay as they are, and so ${formatPath(issue.path)}: ${issue.message}`,
    );
  }
}

function refusal(message: string): ConfigError {
  return new ConfigError("the target of parameters", [{ code: "invalid_value", path: ["target_params"], message }]);
}

/** Width of a head, and from one width to the next. */
function step(dModel: number): number {
  return dModel < 128 ? 16 : dModel < 256 ? 32 : 64;
}

/** Depths to try: the rule's and those about it, down to 1 where the target is small. */
function near(depth: number): number[] {
  const all = new Set<number>();
  for (const share of [1, 0.9, 1.1, 0.8, 1.25, 0.65, 1.5, 0.5, 0.25, 2, 3, 5, 8, 12, 20])
    all.add(Math.min(128, Math.max(1, Math.round(depth * share))));
  return [...all];
}

/** The first container with repeat above 1 on the way down; null where every block is written out. */
function repeatedContainer(node: NodeConfig): TopologyConfig | null {
  if (!isTopology(node)) return null;
  if ("repeat" in node && node.repeat > 1) return node;
  for (const child of childrenOf(node)) {
    const found = repeatedContainer(child.node);
    if (found) return found;
  }
  return null;
}

/** d_ff / d_model of the first feed-forward; 8/3 where there is none. */
function feedForwardRatio(node: NodeConfig, dModel: number): number {
  const first = layersOf(node).find((layer) => "dFf" in layer);
  return first && "dFf" in first ? first.dFf / dModel : 8 / 3;
}

function resize(
  model: ModelConfig,
  from: number,
  to: number,
  dFf: number,
  container: TopologyConfig | null,
  depth: number,
): ModelConfig {
  const visit = (node: NodeConfig): NodeConfig => {
    if (!isTopology(node)) return resizeLayer(node, { from, to, dFf, nHeads: to / step(to) });
    return { ...mapChildren(node, visit), ...(node === container ? { repeat: depth } : {}) } as TopologyConfig;
  };
  const embedder = model.embedder.type === "token" ? { ...model.embedder, dModel: to } : model.embedder;
  return { ...model, embedder, topology: visit(model.topology) as TopologyConfig };
}

function resizeLayer(layer: LayerConfig, to: Resize): LayerConfig {
  const spec = layerSpec(layer);
  if (spec.resize) return spec.resize(layer, to);
  const message = `expected layers that can change their width, found ${layer.type}; give its spec a resize method`;
  throw new ConfigError("the model", [{ code: "rule", path: [], message }]);
}
