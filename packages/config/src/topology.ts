/**
 * Topologies: graph nodes that compose layers and other topologies. `lowerTopology` turns `repeat: N` into N
 * independent copies of the children; until then a tree of any depth stays as small as it was written.
 */
import { z } from "zod";
import { type GraphTopologyConfig, graphTopologySchema, lowerGraph } from "./graph-topology.ts";
import { type LayerConfig, layerSchemas } from "./layer.ts";
import { exactly, growing, object, positiveInt, variants } from "./schema.ts";
import { userLayerSpecs } from "./user-layer.ts";

/** A child of a topology. */
export type NodeConfig = LayerConfig | TopologyConfig;

interface SequenceFields {
  layers: NodeConfig[];
  /** Number of independent copies of the children, in order. */
  repeat: number;
}

/** x <- child(x) in order. */
export interface StackedTopologyConfig extends SequenceFields {
  type: "StackedTopology";
}

/** The same as StackedTopology; a second name for intent. */
export interface SequentialTopologyConfig extends SequenceFields {
  type: "SequentialTopology";
}

/** The same flow; holds the block that `repeat` copies. */
export interface NestedTopologyConfig extends SequenceFields {
  type: "NestedTopology";
}

/** y = x + f_n(...f_1(x)): one skip around all children. */
export interface ResidualTopologyConfig extends SequenceFields {
  type: "ResidualTopology";
}

/** Every child sees x; outputs are stacked on a new axis 0. */
export interface ParallelTopologyConfig extends SequenceFields {
  type: "ParallelTopology";
}

/** Every child sees x; outputs are concatenated on axis `dim` (default the last: widths add up). */
export interface BranchingTopologyConfig extends SequenceFields {
  type: "BranchingTopology";
  dim: number;
}

/** The child list applied `iterations` times with the same weights (`repeat` in old manifests). */
export interface CyclicTopologyConfig {
  type: "CyclicTopology";
  layers: NodeConfig[];
  iterations: number;
}

/** Children in order; those that return (output, state) have their states collected. */
export interface RecurrentTopologyConfig extends SequenceFields {
  type: "RecurrentTopology";
}

export type TopologyConfig =
  | StackedTopologyConfig
  | SequentialTopologyConfig
  | NestedTopologyConfig
  | ResidualTopologyConfig
  | ParallelTopologyConfig
  | BranchingTopologyConfig
  | CyclicTopologyConfig
  | RecurrentTopologyConfig
  | GraphTopologyConfig;

/** The names a manifest may write as a topology's `type`. */
export type TopologyType = TopologyConfig["type"];

/** A layer or a topology. */
export const nodeSchema: z.ZodType<NodeConfig> = growing(
  () => userLayerSpecs().length,
  () => variants("type", [...layerSchemas(), ...topologySchemas]),
);

const layers = z.array(nodeSchema).min(1).describe("Children: layers and topologies");
const repeat = positiveInt.default(1).describe("Independent copies of the children, one after the other");

export const topologySchemas: readonly z.ZodType<TopologyConfig>[] = [
  exactly<StackedTopologyConfig>()(object({ type: z.literal("StackedTopology"), layers, repeat })),
  exactly<SequentialTopologyConfig>()(object({ type: z.literal("SequentialTopology"), layers, repeat })),
  exactly<NestedTopologyConfig>()(object({ type: z.literal("NestedTopology"), layers, repeat })),
  exactly<ResidualTopologyConfig>()(object({ type: z.literal("ResidualTopology"), layers, repeat })),
  exactly<ParallelTopologyConfig>()(object({ type: z.literal("ParallelTopology"), layers, repeat })),
  exactly<BranchingTopologyConfig>()(
    object({
      type: z.literal("BranchingTopology"),
      layers,
      repeat,
      dim: z.number().int().default(-1).describe("Axis of the concatenation; -1 is the feature axis"),
    }),
  ),
  exactly<CyclicTopologyConfig>()(
    object({
      type: z.literal("CyclicTopology"),
      layers,
      iterations: positiveInt.default(1).describe("Times the children are applied, with shared weights"),
    }),
  ),
  exactly<RecurrentTopologyConfig>()(object({ type: z.literal("RecurrentTopology"), layers, repeat })),
  graphTopologySchema(() => nodeSchema),
];

/** Any topology. */
export const topologySchema: z.ZodType<TopologyConfig> = variants("type", topologySchemas);

/** Whether a node has children. */
export function isTopology(node: NodeConfig): node is TopologyConfig {
  return "layers" in node || node.type === "GraphTopology";
}

/**
 * The same tree without `repeat`: each topology's child list is copied `repeat` times and `repeat` becomes 1. No two
 * nodes of the result are the same object, so that every copy gets its own parameters. Memory is linear in the
 * result. `CyclicTopology.iterations` stays: its passes share weights.
 */
export function lowerTopology(topology: TopologyConfig): TopologyConfig {
  return lowerNode(topology) as TopologyConfig;
}

function lowerNode(node: NodeConfig): NodeConfig {
  if (!isTopology(node)) return structuredClone(node);
  if (node.type === "GraphTopology") return lowerGraph(node, lowerNode);
  if (node.type === "CyclicTopology") return { ...node, layers: node.layers.map(lowerNode) };
  const layers: NodeConfig[] = [];
  for (let copy = 0; copy < node.repeat; copy++) for (const child of node.layers) layers.push(lowerNode(child));
  return { ...node, layers, repeat: 1 };
}
