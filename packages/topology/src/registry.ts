// Config -> module for topologies. `repeat` is expanded first, so that every copy has its own weights.
import { isTopology, lowerTopology, type NodeConfig, type TopologyConfig } from "@caramba/config";
import { buildLayer, type Module } from "@caramba/layers";
import { BranchingTopology, ParallelTopology } from "./branches.ts";
import { CyclicTopology } from "./cyclic.ts";
import { GraphTopology } from "./graph.ts";
import { RecurrentTopology } from "./recurrent.ts";
import { NestedTopology, ResidualTopology, SequentialTopology, StackedTopology } from "./sequence.ts";

/** Builds a topology and everything in it. */
export function buildTopology(config: TopologyConfig): Module {
  return buildNode(lowerTopology(config));
}

function buildNode(config: NodeConfig): Module {
  if (!isTopology(config)) return buildLayer(config);
  if (config.type === "GraphTopology") return new GraphTopology(config, buildNode);
  const layers = config.layers.map(buildNode);
  switch (config.type) {
    case "StackedTopology":
      return new StackedTopology(layers);
    case "SequentialTopology":
      return new SequentialTopology(layers);
    case "NestedTopology":
      return new NestedTopology(layers);
    case "ResidualTopology":
      return new ResidualTopology(layers);
    case "ParallelTopology":
      return new ParallelTopology(layers);
    case "BranchingTopology":
      return new BranchingTopology(layers, config.dim);
    case "CyclicTopology":
      return new CyclicTopology(layers, config.iterations);
    case "RecurrentTopology":
      return new RecurrentTopology(layers);
    default:
      return config satisfies never;
  }
}
