// What building a model would refuse, found before a run: each distinct layer and topology of a target is made once by
// itself, so that a refusal is told at its own line. Variables are lazy: nothing is allocated.
import {
  childrenOf,
  isTopology,
  mapChildren,
  type NodeConfig,
  type PlanIssue,
  placeOf,
  type Target,
  type TopologyConfig,
} from "@caramba/config";
import { Model } from "@caramba/model";

type Refusal = { readonly message: string; readonly remedy: string } | null;

/** Layers and topologies of targets that cannot be built. */
export function layerIssues(targets: readonly Target[]): PlanIssue[] {
  const known = new Map<string, Refusal>();
  const refusal = (node: NodeConfig, target: Target): Refusal => {
    // A topology's children are looked at by themselves.
    const alone: NodeConfig = isTopology(node) ? mapChildren(node, () => ({ type: "DropoutLayer", p: 0 })) : node;
    const key = JSON.stringify(alone);
    const found = known.get(key);
    if (found !== undefined) return found;
    const made = attempt(alone, target);
    known.set(key, made);
    return made;
  };
  const issues: PlanIssue[] = [];
  const walk = (node: NodeConfig, target: Target, path: (string | number)[]): void => {
    const found = refusal(node, target);
    if (found)
      issues.push({
        ...{ code: "unsupported", path: placeOf(target, "model", ...path), place: `target "${target.name}"` },
        ...found,
      });
    if (isTopology(node)) for (const child of childrenOf(node)) walk(child.node, target, [...path, ...child.path]);
  };
  for (const target of targets) walk(target.model.topology, target, ["topology"]);
  return issues;
}

function attempt(node: NodeConfig, { model }: Target): Refusal {
  const topology: TopologyConfig = isTopology(node) ? node : { type: "StackedTopology", layers: [node], repeat: 1 };
  try {
    new Model({ ...model, type: "TransformerModel", embedder: { type: "none" }, topology });
    return null;
  } catch (error) {
    const { message, remedy, code } = error as Error & { remedy?: string; code?: string };
    if (typeof code !== "string") throw error;
    return { message, remedy: remedy ?? "use another layer" };
  }
}
