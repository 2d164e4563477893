/**
 * Shape inference over a topology tree with symbolic batch B and time T, before any weight exists. A sequence
 * carries the current shape; a layer whose declared input width differs is reported with its path and both widths,
 * and inference goes on with what the layer declares, so that one manifest shows all its mistakes at once.
 * A repeated child list is inferred once: its copies fit if and only if it maps a width to itself.
 */
import { executionOrder, type GraphNodeConfig, type GraphTopologyConfig, graphOutput } from "./graph-topology.ts";
import { type LayerConfig, layerSpec } from "./layer.ts";
import type { ModelConfig } from "./model.ts";
import type { RuleIssue } from "./schema.ts";
import { formatShape, type Shape, type ShapeDim } from "./shape.ts";
import { isTopology, type NodeConfig, type ParallelTopologyConfig, type TopologyConfig } from "./topology.ts";
import { childrenOf } from "./tree.ts";

type Path = (string | number)[];

/** One node of the tree with the shapes at its ends; `path` in manifest spelling, relative to the model. */
export interface NodeShape {
  path: Path;
  depth: number;
  node: NodeConfig;
  input: Shape;
  output: Shape;
}

export interface ShapeInference {
  /** What the topology is fed. */
  input: Shape;
  /** What the topology returns. */
  features: Shape;
  /** What the model returns: logits when there is a token embedder, else the features. */
  output: Shape;
  /** Depth first, in execution order; repeated children once. */
  nodes: NodeShape[];
  issues: RuleIssue[];
}

/** Shapes of every node of a model and every place where they do not fit. */
export function inferShapes(model: ModelConfig): ShapeInference {
  const width = model.embedder.type === "token" ? model.embedder.dModel : (firstWidth(model.topology) ?? "D");
  const walk: Walk = { nodes: [], issues: [] };
  const input: Shape = ["B", "T", width];
  const source = model.embedder.type === "token" ? "the embedder" : "the model's input";
  const features = infer(walk, model.topology, input, ["topology"], 0, source);
  const output = headShape(walk, model, features);
  return { input, features, output, nodes: walk.nodes, issues: walk.issues };
}

/** The issues of `inferShapes`, as a rule of the model schema. */
export function shapeRules(model: ModelConfig): RuleIssue[] {
  return inferShapes(model).issues;
}

interface Walk {
  nodes: NodeShape[];
  issues: RuleIssue[];
  /** The last layer whose width did not fit: what it was given, and what it declares. */
  misfit?: { given: ShapeDim; declared: ShapeDim };
}

function infer(walk: Walk, node: NodeConfig, input: Shape, path: Path, depth: number, source: string): Shape {
  const record: NodeShape = { path, depth, node, input, output: input };
  walk.nodes.push(record);
  record.output = isTopology(node)
    ? compose(walk, node, input, path, depth, source)
    : apply(walk, node, input, path, source);
  return record.output;
}

function compose(walk: Walk, node: TopologyConfig, input: Shape, path: Path, depth: number, source: string): Shape {
  const layers = node.type === "GraphTopology" ? [] : node.layers;
  const child = (index: number, shape: Shape, from: string): Shape =>
    infer(walk, layers[index] as NodeConfig, shape, [...path, "layers", index], depth + 1, from);
  const parallel = (): Shape[] => layers.map((_, index) => child(index, input, source));
  const told = walk.issues.length;
  switch (node.type) {
    case "GraphTopology":
      return graph(walk, node, input, path, depth, source);
    case "ParallelTopology":
      return stack(walk, node, parallel(), path, told);
    case "BranchingTopology":
      return concatenate(walk, node, parallel(), path, told);
    default: {
      const before = walk.issues.length;
      let misfed = false;
      let shape = input;
      let from = source;
      for (const [index, layer] of layers.entries()) {
        shape = child(index, shape, from);
        from = `${layer.type} before it`;
        misfed ||= index === 0 && walk.issues.length > before;
      }
      if (same(shape, input)) return shape;
      // A child that does not fit is the mistake; what follows from it is not told again. Where it is the first, the
      // whole block was made for another width, and inference goes on with that.
      if (walk.issues.length > before) return misfed || node.type !== "ResidualTopology" ? shape : input;
      if (node.type === "ResidualTopology") {
        report(
          walk,
          path,
          `expected a residual branch that returns its input shape ${formatShape(input)}, found ${formatShape(shape)}; make its last layer return width ${input.at(-1)}`,
        );
        return input;
      }
      const times = node.type === "CyclicTopology" ? node.iterations : node.repeat;
      if (times > 1) {
        const key = node.type === "CyclicTopology" ? "iterations" : "repeat";
        report(
          walk,
          [...path, key],
          `expected children that return their input shape ${formatShape(input)} (${key} is ${times}), found ${formatShape(shape)}`,
        );
      }
      return shape;
    }
  }
}

function graph(walk: Walk, node: GraphTopologyConfig, input: Shape, path: Path, depth: number, source: string): Shape {
  const shapes = new Map<string, Shape>(node.inputs.map((name) => [name, input]));
  const makers = new Map<string, string>(node.inputs.map((name) => [name, source]));
  const told = walk.issues.length;
  for (const item of executionOrder(node)) {
    const at = [...path, "nodes", node.nodes.indexOf(item)];
    const given = item.in.map((name) => shapes.get(name) ?? input);
    const [first = input] = given;
    let made: Shape;
    if (item.config) {
      made = infer(walk, item.config, first, [...at, "config"], depth + 1, makers.get(item.in[0] ?? "") ?? source);
      if (item.repeat > 1 && walk.issues.length === told && !same(made, first))
        report(
          walk,
          [...at, "repeat"],
          `expected a node that returns its input shape ${formatShape(first)} (repeat is ${item.repeat}), found ${formatShape(made)}`,
        );
    } else made = combined(walk, item, given, at, walk.issues.length === told);
    shapes.set(item.out, made);
    makers.set(item.out, `node "${item.id}"`);
  }
  return shapes.get(graphOutput(node)) ?? input;
}

/** Sums and products want equal shapes; a concatenation adds widths up. `right`: no node of the graph was told yet. */
function combined(
  walk: Walk,
  { op, in: reads }: GraphNodeConfig,
  given: readonly Shape[],
  path: Path,
  right: boolean,
): Shape {
  const [first = []] = given;
  const widths = given.map((shape) => shape.at(-1));
  for (const [i, shape] of given.entries()) {
    const fits = op === "concat" ? same(shape.slice(0, -1), first.slice(0, -1)) : same(shape, first);
    if (right && !fits)
      report(
        walk,
        [...path, "in"],
        `expected values of one shape for ${op}, found ${reads[0]} ${formatShape(first)} and ${reads[i]} ${formatShape(shape)}`,
      );
  }
  if (op !== "concat") return first;
  const known = widths.every((width) => typeof width === "number");
  return [...first.slice(0, -1), known ? (widths as number[]).reduce((a, b) => a + b, 0) : "D"];
}

/** `told`: how many issues there were before the children; what follows from one of theirs is not told again. */
function stack(walk: Walk, node: ParallelTopologyConfig, outputs: Shape[], path: Path, told: number): Shape {
  const first = outputs[0] as Shape;
  const right = walk.issues.length === told;
  for (const [index, shape] of outputs.entries()) {
    if (right && !same(shape, first)) {
      report(
        walk,
        [...path, "layers", index],
        `expected the shape of its siblings ${formatShape(first)} (they are stacked), found ${formatShape(shape)}`,
      );
    }
  }
  return [outputs.length * node.repeat, ...first];
}

function concatenate(
  walk: Walk,
  node: TopologyConfig & { type: "BranchingTopology" },
  outputs: Shape[],
  path: Path,
  told: number,
): Shape {
  const first = outputs[0] as Shape;
  const right = walk.issues.length === told;
  const axis = node.dim < 0 ? first.length + node.dim : node.dim;
  if (axis < 0 || axis >= first.length) {
    report(
      walk,
      [...path, "dim"],
      `expected an axis of ${formatShape(first)} (${-first.length} to ${first.length - 1}), found ${node.dim}`,
    );
    return first;
  }
  for (const [index, shape] of outputs.entries()) {
    const fits = shape.length === first.length && shape.every((dim, at) => at === axis || dim === first[at]);
    if (right && !fits) {
      report(
        walk,
        [...path, "layers", index],
        `expected the shape of its siblings ${formatShape(first)} except on axis ${node.dim}, found ${formatShape(shape)}`,
      );
    }
  }
  const sizes = outputs.map((shape) => shape[axis]);
  if (sizes.some((size) => typeof size !== "number")) {
    if (outputs.length * node.repeat > 1 && axis !== first.length - 1) {
      report(
        walk,
        [...path, "dim"],
        `expected an axis of known size, found ${first[axis]} of ${formatShape(first)}; the feature axis is -1`,
      );
    }
    return first;
  }
  const total = (sizes as number[]).reduce((sum, size) => sum + size, 0) * node.repeat;
  return first.map((dim, at) => (at === axis ? total : dim));
}

function apply(walk: Walk, layer: LayerConfig, input: Shape, path: Path, source: string): Shape {
  const spec = layerSpec(layer);
  const wanted = spec.width(layer);
  const given = input.at(-1) as ShapeDim;
  // Where the layer before was told not to fit, one that would have fitted without it is not told as well.
  const told = wanted !== null && walk.misfit?.declared === given && walk.misfit.given === wanted.value;
  if (wanted !== null) delete walk.misfit;
  if (wanted !== null && given !== wanted.value && given !== "D" && !told) {
    const { key, value } = wanted;
    walk.misfit = { given, declared: value };
    report(
      walk,
      [...path, key],
      `expected ${key} ${given} (the width that ${source} gives), found ${value}; set ${key}: ${given} or change what comes before`,
    );
  }
  for (const issue of spec.demands?.(layer, input) ?? []) report(walk, [...path, ...issue.path], issue.message);
  const entered = wanted === null ? input : [...input.slice(0, -1), wanted.value];
  return spec.output?.(layer, entered) ?? entered;
}

function headShape(walk: Walk, model: ModelConfig, features: Shape): Shape {
  if (model.embedder.type !== "token") return features;
  const { vocabSize, dModel } = model.embedder;
  const width = features.at(-1);
  const logits: Shape = ["B", "T", vocabSize];
  const place: Path = ["topology", ...(childrenOf(model.topology).at(-1)?.path ?? [])];
  if (features.length !== 3) {
    report(walk, place, `expected the topology to return [B, T, width], found ${formatShape(features)}`);
  } else if (walk.misfit?.declared === width && walk.misfit?.given === dModel && model.tiedEmbeddings) {
    // The layer that does not fit is the mistake.
  } else if (width !== vocabSize && !(model.tiedEmbeddings && width === dModel)) {
    const wanted = model.tiedEmbeddings
      ? `width ${dModel} (embedder d_model, logits by the tied embedding) or ${vocabSize} (vocab_size)`
      : `width ${vocabSize} (vocab_size; tied_embeddings is false, so the topology ends in its own head)`;
    const head = headLayer(model.topology, ["topology"]);
    if (head !== null) {
      // A head is there and gives another width: its own key must change.
      const fitting = model.tiedEmbeddings
        ? `${dModel} (embedder d_model, logits by the tied embedding) or ${vocabSize} (vocab_size)`
        : `${vocabSize} (vocab_size; tied_embeddings is false, so the last layer is the head)`;
      report(walk, [...head, "d_out"], `expected d_out ${fitting}, found ${width}`);
      return logits;
    }
    report(
      walk,
      place,
      `expected a topology that ends at ${wanted}, found ${width}; end it in a LinearLayer with d_in: ${width}, d_out: ${vocabSize}${width === dModel ? " or set tied_embeddings: true" : ""}`,
    );
  }
  return logits;
}

/** The path of the linear layer that a topology ends in; null where something else comes last. */
function headLayer(node: NodeConfig, path: Path): Path | null {
  if (node.type === "LinearLayer") return path;
  if (!["StackedTopology", "SequentialTopology", "NestedTopology"].includes(node.type) || !isTopology(node))
    return null;
  const last = childrenOf(node).at(-1);
  return last === undefined ? null : headLayer(last.node, [...path, ...last.path]);
}

function firstWidth(node: NodeConfig): number | null {
  if (!isTopology(node)) return layerSpec(node).width(node)?.value ?? null;
  for (const child of childrenOf(node)) {
    const width = firstWidth(child.node);
    if (width !== null) return width;
  }
  return null;
}

function same(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, index) => dim === b[index]);
}

function report(walk: Walk, path: Path, message: string): void {
  walk.issues.push({ path, message });
}
