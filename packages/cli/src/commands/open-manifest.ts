// A manifest as a command changes it: --set before variables are substituted, --seed for every run. Whatever a run would
// refuse later is refused here, at its line. The changed manifest is passed on as text with everything filled in, so
// that what is kept of a run says what was run.
import {
  optimizeModel,
  type Plan,
  type PlanIssue,
  parseManifestOrThrow,
  resolvedManifest,
  type Target,
  unsupportedSettings,
} from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import { type LoadedManifest, loadManifest } from "./load-manifest.ts";

/** Changes that compile and run take from the command line. */
export interface ManifestChanges {
  /** `key=value` each, as `parseManifest` takes them. */
  readonly set?: readonly string[];
  /** Seed of every run. */
  readonly seed?: number;
  /** Parameters that every target's model is resized to. */
  readonly targetParams?: number;
  /** Go on from checkpoints (true), or start every run anew (false); default: as the manifest says. */
  readonly resume?: boolean;
}

/** Loads a manifest by path or preset name, changes it, checks the targets that `choose` picks, and compiles it. */
export async function openManifest(
  name: string,
  changes: ManifestChanges,
  choose: (plan: Plan) => readonly Target[] = (plan) => plan.targets,
): Promise<LoadedManifest & { readonly plan: Plan }> {
  const loaded = await loadManifest(name);
  const { set = [], seed, targetParams, resume } = changes;
  const { layerIssues } = await import("./check-layers.ts");
  const check = (plan: Plan): PlanIssue[] => {
    const targets = choose(plan);
    return [...unsupportedSettings(plan, targets), ...layerIssues(targets)];
  };
  const { plan: written } = parseManifestOrThrow(loaded.text, { file: loaded.path, set, check });
  if (set.length === 0 && [seed, targetParams, resume].every((change) => change === undefined))
    return { ...loaded, plan: written };
  const seeded = seed === undefined ? written : withSeed(written, seed);
  const sized = targetParams === undefined ? seeded : withSize(seeded, targetParams);
  const plan = resume === undefined ? sized : withResume(sized, resume);
  return { ...loaded, plan, text: JSON.stringify(resolvedManifest(plan), null, 2) };
}

/** The plan with one seed for every run; a run with a list of seeds has become one run each and cannot become one. */
function withSeed(plan: Plan, seed: number): Plan {
  const targets = plan.targets.map((target) => {
    const listed = target.runs.find((run) => run.id.endsWith(`__s${run.seed}`));
    if (listed)
      throw new CarambaError(`--seed ${seed}: a run of ${target.name} has a list of seeds (${listed.id})`, {
        code: "seed",
        remedy: "replace the list: --set targets.<target>.runs.<run>.seed=<n>",
      });
    return { ...target, runs: target.runs.map((run) => ({ ...run, seed })) };
  });
  return { ...plan, targets };
}

function withSize(plan: Plan, parameters: number): Plan {
  return { ...plan, targets: plan.targets.map((t) => ({ ...t, model: optimizeModel(t.model, parameters) })) };
}

function withResume(plan: Plan, autoResume: boolean): Plan {
  const targets = plan.targets.map((target) => ({
    ...target,
    runs: target.runs.map((run) => ({ ...run, train: run.train && { ...run.train, autoResume } })),
  }));
  return { ...plan, targets };
}
