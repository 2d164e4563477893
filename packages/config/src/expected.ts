/**
 * `expected:` of a run: settings it must resolve to. A key is looked up in this order: phase, attn_mode, any key of
 * the run's train block, any key of the model's attention layers (all must agree), any plain key of the model.
 */
import type { AttentionLayerConfig } from "./attention.ts";
import type { ModelConfig } from "./model.ts";
import { camel, snake } from "./names.ts";
import type { ManifestRun } from "./run.ts";
import type { RuleIssue } from "./schema.ts";
import { closest } from "./suggest.ts";
import type { NodeConfig } from "./topology.ts";
import { layersOf } from "./tree.ts";

/** Every difference between what a run expects and what it gets; paths relative to the run. */
export function expectedRules(run: ManifestRun, model: ModelConfig): RuleIssue[] {
  const issues: RuleIssue[] = [];
  const layers = attentionLayers(model.topology);
  for (const [key, wanted] of Object.entries(run.expected)) {
    const path = ["expected", key];
    const values = key === "attn_mode" ? attentionNames(layers) : resolved(key, run, model, layers);
    if (values === null) {
      const known = knownKeys(run, model, layers);
      const near = closest(key, known);
      const hint = near === undefined ? "" : ` (did you mean "${near}"?)`;
      issues.push({ path, message: `expected a setting of this run, found "${key}"${hint}` });
    } else if (!values.every((options) => options.includes(wanted))) {
      const found = [...new Set(values.map((options) => String(options[0])))].join(" and ");
      issues.push({
        path,
        message: `expected ${key}: ${wanted}, found ${found || "nothing"} in the resolved settings`,
      });
    }
  }
  return issues;
}

/** For each place that has the key, the values that count as it; null when no place has it. */
function resolved(
  key: string,
  run: ManifestRun,
  model: ModelConfig,
  layers: AttentionLayerConfig[],
): unknown[][] | null {
  const name = camel(key);
  for (const holders of [run.train === null ? [] : [run.train], layers, [model]] as object[][]) {
    const having = holders.filter((holder) => Object.hasOwn(holder, name));
    if (having.length > 0) return having.map((holder) => [(holder as Record<string, unknown>)[name]]);
  }
  return null;
}

/** Names under which each layer's attention is known: its mode, what it amounts to, the papers' labels. */
function attentionNames(layers: AttentionLayerConfig[]): unknown[][] {
  if (layers.length === 0) return [[undefined]];
  return layers.map((layer) => {
    if (layer.mode === "decoupled") return ["decoupled", "dba"];
    if (layer.attnDim !== null && layer.attnDim < layer.dModel) return ["bottleneck", layer.mode];
    if (layer.nKvHeads !== null && layer.nKvHeads < layer.nHeads) return ["gqa", layer.mode];
    return ["standard", "baseline", layer.mode];
  });
}

function knownKeys(run: ManifestRun, model: ModelConfig, layers: AttentionLayerConfig[]): string[] {
  const holders = [run.train ?? {}, layers[0] ?? {}, model];
  return ["attn_mode", ...holders.flatMap((holder) => Object.keys(holder)).map(snake)];
}

function attentionLayers(node: NodeConfig): AttentionLayerConfig[] {
  return layersOf(node).flatMap((layer) => (layer.type === "AttentionLayer" ? [layer] : []));
}
