// Initial values by a scheme of the whole model, instead of each layer's own. `normal`: every linear map and embedding
// from a normal distribution of one standard deviation. `gpt2` (Radford et al., 2019, section 2.3): besides, the maps that
// end residual branches are divided by sqrt(n), where n counts the branches that a pass adds up (2 per block of attention
// and feed-forward). Whatever the scheme, a weight depends on the seed and on its own path alone.
import { graphOutput, type InitializationConfig } from "@caramba/config";
import { type Module, normalInit } from "@caramba/layers";
import type { Variable } from "@caramba/tensor";
import { BranchingTopology, GraphTopology, ParallelTopology } from "@caramba/topology";
import { executions } from "./module-paths.ts";

/** Sets how the variables of `model` begin; none of them may have a value yet. */
export function initializeModel(model: Module, config: InitializationConfig): void {
  if (config.scheme === "default") return;
  const calls = executions(model);
  const branches = calls.filter(({ module }) => module.type === "ResidualTopology");
  const ends = new Set(config.scheme === "gpt2" ? branches.flatMap(({ module }) => endsOf(module)) : []);
  for (const module of new Set(calls.map((call) => call.module)))
    for (const weight of module.plainWeights)
      weight.initializeBy(normalInit(ends.has(weight) ? config.std / Math.sqrt(branches.length) : config.std));
}

/** Weights of the linear maps that come last in a module: one in a sequence, one in each of several branches. */
function endsOf(module: Module): readonly Variable[] {
  if (module.plainWeights.length > 0) return module.plainWeights;
  if (module instanceof GraphTopology) return endsOfGraph(module);
  const children = module.children.map(([, child]) => child);
  if (module instanceof BranchingTopology || module instanceof ParallelTopology) return children.flatMap(endsOf);
  for (const child of children.reverse()) {
    const ends = endsOf(child);
    if (ends.length > 0) return ends;
  }
  return [];
}

/** From the value that a graph returns backwards: all terms of a sum or a concatenation, the first factor of a product. */
function endsOfGraph({ config, children }: GraphTopology): readonly Variable[] {
  const layers = new Map(children);
  const endsOfValue = (name: string): readonly Variable[] => {
    const node = config.nodes.find(({ out }) => out === name);
    if (!node) return [];
    const layer = layers.get(`nodes.${node.id}`);
    const ends = layer ? endsOf(layer) : [];
    if (ends.length > 0) return ends;
    return (node.op === "multiply" ? node.in.slice(0, 1) : node.in).flatMap(endsOfValue);
  };
  return endsOfValue(graphOutput(config));
}
