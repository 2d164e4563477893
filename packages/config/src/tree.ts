/** Walking a topology tree without knowing its kinds of topology. */
import type { LayerConfig } from "./layer.ts";
import { isTopology, type NodeConfig, type TopologyConfig } from "./topology.ts";

/** A child of a topology. */
export interface ChildNode {
  /** Where it is written, relative to the topology. */
  readonly path: readonly (string | number)[];
  readonly node: NodeConfig;
  /** Independent copies of it (1 in a CyclicTopology, whose passes share weights). */
  readonly copies: number;
}

/** The children of a topology as they are written. */
export function childrenOf(topology: TopologyConfig): ChildNode[] {
  if (topology.type === "GraphTopology")
    return topology.nodes.flatMap(({ config, repeat }, i) =>
      config ? [{ path: ["nodes", i, "config"], node: config, copies: repeat }] : [],
    );
  const copies = topology.type === "CyclicTopology" ? 1 : topology.repeat;
  return topology.layers.map((node, i) => ({ path: ["layers", i], node, copies }));
}

/** The same topology with each child replaced. */
export function mapChildren(topology: TopologyConfig, change: (child: NodeConfig) => NodeConfig): TopologyConfig {
  if (topology.type !== "GraphTopology") return { ...topology, layers: topology.layers.map(change) };
  const nodes = topology.nodes.map((node) => {
    const config = node.config && change(node.config);
    return { ...node, config, op: config?.type ?? node.op };
  });
  return { ...topology, nodes };
}

/** The layers below a node as they are written, in order. */
export function layersOf(node: NodeConfig): LayerConfig[] {
  return isTopology(node) ? childrenOf(node).flatMap((child) => layersOf(child.node)) : [node];
}

/** A count over the layers below a node, independent copies counted each. */
export function sumLayers(node: NodeConfig, count: (layer: LayerConfig) => number): number {
  if (!isTopology(node)) return count(node);
  return childrenOf(node).reduce((sum, child) => sum + child.copies * sumLayers(child.node, count), 0);
}

/** Nodes of a tree after lowering, the root included (a product over nested repeats, so it can be astronomical). */
export function loweredSize(node: NodeConfig): number {
  if (!isTopology(node)) return 1;
  return childrenOf(node).reduce((sum, child) => sum + child.copies * loweredSize(child.node), 1);
}
