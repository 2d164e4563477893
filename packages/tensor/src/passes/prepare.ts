// What every backend does to a graph before it compiles it: recognise composites, expand those it has
// no kernel for, fold constants, merge equal nodes. Leaves may vanish on the way (a value multiplied away), so positions are mapped.
import type { Graph } from "../graph.ts";
import { fuseComposites } from "./fuse.ts";
import { cse, foldConstants, lowerComposites, pipeline } from "./passes.ts";

/** A graph ready for an engine. */
export interface PreparedGraph {
  readonly graph: Graph;
  /** For each input of the prepared graph, its position among the original graph's inputs. */
  readonly inputOrder: readonly number[];
}

/** Lowers `graph` for an engine that runs primitives and the composites in `claimed`. */
export function prepareGraph(graph: Graph, claimed: readonly string[]): PreparedGraph {
  const prepared = pipeline(fuseComposites, lowerComposites(new Set(claimed)), foldConstants, cse)(graph);
  const position = new Map(graph.inputs.map((leaf, i) => [leaf, i]));
  return { graph: prepared, inputOrder: prepared.inputs.map((leaf) => position.get(leaf) as number) };
}
