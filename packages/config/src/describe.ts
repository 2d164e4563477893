/**
 * Plans as text for `--print-plan`: the topology tree with shapes, and each run with its steps and tokens. Numbers
 * that need the built model (parameters, FLOPs, bytes) are the model package's.
 */

import { isCombiner } from "./graph-topology.ts";
import { type LayerConfig, layerSpec } from "./layer.ts";
import type { ModelConfig } from "./model.ts";
import { nodeParameters } from "./parameters.ts";
import type { Plan, Run, Target } from "./plan.ts";
import { formatShape } from "./shape.ts";
import { inferShapes, type NodeShape } from "./shapes.ts";
import { isTopology, lowerTopology, type NodeConfig, type TopologyConfig } from "./topology.ts";
import { sumLayers } from "./tree.ts";

export interface DescribeOptions {
  /** Write every repeated copy out instead of `repeat=N`. Default false. */
  expand?: boolean;
}

/** One line per node: kind, what sets it apart, path, input shape -> output shape; two spaces per level. */
export function describeTopology(model: ModelConfig, options: DescribeOptions = {}): string[] {
  const shown = options.expand === true ? { ...model, topology: lowerTopology(model.topology) } : model;
  return inferShapes(shown).nodes.map(nodeLine);
}

/** A model in lines: type, embedder, tree, output. */
export function describeModel(model: ModelConfig, options: DescribeOptions = {}): string[] {
  const { embedder } = model;
  const { input, output } = inferShapes(model);
  const lines = [`model.type=${model.type}`];
  if (embedder.type === "token") {
    lines.push(
      `model.embedder=token vocab_size=${embedder.vocabSize} d_model=${embedder.dModel} [B, T] -> ${formatShape(input)}`,
    );
  } else lines.push(`model.embedder=none ${formatShape(input)}`);
  const { initialization: init } = model;
  if (init.scheme !== "default") lines.push(`model.initialization=${init.scheme} std=${init.std}`);
  lines.push("model.topology:", ...indent(describeTopology(model, options)));
  lines.push(
    `model.output=${formatShape(output)}${embedder.type === "token" ? " logits" : ""} tied_embeddings=${model.tiedEmbeddings}`,
  );
  return lines;
}

/** The whole plan, or one target of it, in lines. */
export function describePlan(plan: Plan, options: DescribeOptions & { target?: Target | undefined } = {}): string[] {
  const { defaults } = plan;
  const lines = [
    `manifest.version=${plan.version}`,
    `manifest.name=${plan.name}`,
    `defaults: tokenizer=${defaults.tokenizer} val_frac=${defaults.valFrac} eval_iters=${defaults.evalIters} save_every=${defaults.saveEvery}`,
  ];
  const targets = options.target === undefined ? plan.targets : [options.target];
  for (const target of targets) lines.push(...describeTarget(target, options));
  return lines;
}

function describeTarget(target: Target, options: DescribeOptions): string[] {
  const { data } = target;
  const source = data.path ?? `${data.dataset} (${data.tokens} tokens)`;
  const block = data.blockSize === null ? "" : ` block_size=${data.blockSize}`;
  const blocks = attentionLayers(target.model.topology);
  return [
    `target=${target.name} trainer=${target.trainer.type}${target.description === "" ? "" : `  # ${target.description.trim()}`}`,
    ...indent([
      `data=${source} tokenizer=${data.tokenizer}${block} val_frac=${data.valFrac}`,
      ...describeModel(target.model, options),
      target.runs.length === 0 ? "runs: none" : "runs:",
      ...indent(target.runs.map((run) => runLine(run, blocks))),
      target.benchmarks.length === 0 ? "benchmarks: none" : "benchmarks:",
      ...indent(
        target.benchmarks.map(
          (spec) => `- ${spec.id}: ${spec.config.type} on ${spec.models.join(", ")}, repeats=${spec.repeats}`,
        ),
      ),
    ]),
  ];
}

/** Tokens a run reads; blockwise runs read their steps once per attention layer. */
export function runTokens(run: Run, attentionLayerCount: number): number {
  if (run.train === null) return 0;
  const { train } = run;
  const passes = train.phase === "blockwise" ? attentionLayerCount : 1;
  return run.steps * passes * train.batchSize * train.gradientAccumulationSteps * train.blockSize;
}

function runLine(run: Run, blocks: number): string {
  const verify = run.verify === null ? "" : ` verify=${run.verify.type}`;
  if (run.train === null) return `- ${run.id}: mode=${run.mode} seed=${run.seed}, nothing is trained${verify}`;
  const { train } = run;
  const steps = train.phase === "blockwise" ? `${run.steps} x ${blocks} blocks` : `${run.steps}`;
  const batch = `${train.batchSize}${train.gradientAccumulationSteps > 1 ? `x${train.gradientAccumulationSteps}` : ""}`;
  const schedule = `${train.scheduler}${train.warmupSteps > 0 ? ` after ${train.warmupSteps} warm-up steps` : ""}`;
  const from = train.teacherCkpt ?? train.initCkpt;
  const source = from === null ? "" : ` ${train.teacherCkpt === null ? "init" : "teacher"}=${from}`;
  return (
    `- ${run.id}: phase=${train.phase} seed=${run.seed} steps=${steps} batch=${batch} block_size=${train.blockSize} ` +
    `tokens=${runTokens(run, blocks)} lr=${train.lr} schedule=${schedule} optimizer=${train.optimizer}${source}${verify}`
  );
}

function nodeLine({ node, path, depth, input, output }: NodeShape): string {
  const place = `path=model.${path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("")
    .slice(1)}`;
  const shapes = `${formatShape(input)} -> ${formatShape(output)}`;
  // Trainable numbers, copies by `repeat` included in the node that repeats.
  const count = nodeParameters(node);
  const parameters = count === 0 ? "" : ` parameters=${count.toLocaleString("en-US")}`;
  const words = isTopology(node) ? topologyWords(node) : layerWords(node);
  return `${"  ".repeat(depth)}- ${words}${parameters} ${place} ${shapes}`;
}

function topologyWords(node: TopologyConfig): string {
  if (node.type === "CyclicTopology") return `topology=${node.type} iterations=${node.iterations}`;
  if (node.type === "GraphTopology") {
    const wires = node.nodes.map(({ id, op, in: reads, out, repeat }) => {
      const what = isCombiner(op) ? `${op}(${reads.join(", ")})` : `${id}(${reads.join(", ")})`;
      return `${out}=${what}${repeat > 1 ? ` x${repeat}` : ""}`;
    });
    return `topology=${node.type} ${wires.join("; ")}`;
  }
  return `topology=${node.type} repeat=${node.repeat}`;
}

function layerWords(layer: LayerConfig): string {
  const words = layerSpec(layer).words?.(layer);
  return words ? `layer=${layer.type} ${words}` : `layer=${layer.type}`;
}

function attentionLayers(node: NodeConfig): number {
  return sumLayers(node, (layer) => (layer.type === "AttentionLayer" ? 1 : 0));
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}
