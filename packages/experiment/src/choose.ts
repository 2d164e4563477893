// Which targets a command line means, where their files go, and which engine they run on.
import { join } from "node:path";
import { type Plan, selectTarget, type Target } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";

/** The targets that a command line means. @throws CarambaError, ConfigError when there is none, or none of that name. */
export function chooseTargets(
  plan: Plan,
  { target, all = false }: { readonly target?: string; readonly all?: boolean },
  manifestPath: string | null = null,
): readonly Target[] {
  if (plan.targets.length === 0)
    throw new CarambaError(`${manifestPath ?? "the manifest"} has no targets, so there is nothing to run`, {
      code: "target",
      remedy: "add one below targets; caramba presets shows examples",
    });
  return all ? plan.targets : [selectTarget(plan, target)];
}

/** One engine for all runs: the one asked for, else the one that runs name. @throws CarambaError where they differ. */
export function deviceOf(targets: readonly Target[], asked?: string): string {
  const devices = targets.flatMap((t) => t.runs.flatMap((r) => r.train?.device ?? []));
  const named = [...new Set(devices)].filter((device) => device !== "auto");
  if (asked === undefined && named.length > 1)
    throw new CarambaError(`the runs name different devices (${named.join(", ")}), which is not supported yet`, {
      code: "unsupported",
      remedy: "name one in the manifest, or choose it with --device",
    });
  return asked ?? named[0] ?? "auto";
}

/** Folder of a target's checkpoints. */
export function targetFolder(runsDir: string, plan: Plan, target: Target): string {
  return join(runsDir, plan.name, target.name);
}
