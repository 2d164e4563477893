// Public entry of @caramba/topology.
export { buildTopology } from "./registry.ts";
export { NestedTopology, ResidualTopology, SequentialTopology, StackedTopology } from "./sequence.ts";
