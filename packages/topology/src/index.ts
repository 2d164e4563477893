// Public entry of @caramba/topology.
export { BranchingTopology, ParallelTopology } from "./branches.ts";
export { CyclicTopology } from "./cyclic.ts";
export { GraphTopology } from "./graph.ts";
export { RecurrentTopology, type States } from "./recurrent.ts";
export { buildTopology } from "./registry.ts";
export { NestedTopology, ResidualTopology, SequentialTopology, StackedTopology } from "./sequence.ts";
