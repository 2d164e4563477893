// Config -> module for topologies. `repeat` is expanded first, so that every copy has its own weights.
import { isTopology, lowerTopology, type NodeConfig, type TopologyConfig } from "@caramba/config";
import { buildLayer, type Module } from "@caramba/layers";
import { CarambaError } from "@caramba/tensor";
import { NestedTopology, ResidualTopology, SequentialTopology, StackedTopology } from "./sequence.ts";

/** Builds a topology and everything in it. */
export function buildTopology(config: TopologyConfig): Module {
  return buildNode(lowerTopology(config));
}

function buildNode(config: NodeConfig): Module {
  if (!isTopology(config)) return buildLayer(config);
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
    case "BranchingTopology":
    case "CyclicTopology":
    case "RecurrentTopology":
      throw new CarambaError(`${config.type} is not supported yet`, {
        code: "unsupported",
        remedy: "use StackedTopology, SequentialTopology, NestedTopology or ResidualTopology",
      });
    default:
      return config satisfies never;
  }
}
