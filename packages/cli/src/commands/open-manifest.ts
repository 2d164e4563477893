// A manifest as a command changes it: --set before variables are substituted, --seed for every run. The changed
// manifest is passed on as text with everything filled in, so that what is kept of a run says what was run.
import { optimizeModel, type Plan, parseManifestOrThrow, resolvedManifest } from "@caramba/config";
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
}

/** Loads a manifest by path or preset name, changes it and compiles it. */
export async function openManifest(
  name: string,
  changes: ManifestChanges,
): Promise<LoadedManifest & { readonly plan: Plan }> {
  const loaded = await loadManifest(name);
  const { set = [], seed, targetParams } = changes;
  const { plan: written } = parseManifestOrThrow(loaded.text, { file: loaded.path, set });
  if (set.length === 0 && seed === undefined && targetParams === undefined) return { ...loaded, plan: written };
  const seeded = seed === undefined ? written : withSeed(written, seed);
  const plan = targetParams === undefined ? seeded : withSize(seeded, targetParams);
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
