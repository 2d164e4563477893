// caramba run: a manifest through the whole pipeline, with live progress, and a summary at the end.
import { chooseTargets, demandSupportedPlan, runExperiment } from "@caramba/experiment";
import { finish, interruptible } from "../session.ts";
import { type ManifestChanges, openManifest } from "./open-manifest.ts";

/** Options of `caramba run`. */
export interface RunOptions extends ManifestChanges {
  readonly target?: string;
  readonly group?: string;
  readonly all: boolean;
  readonly dryRun: boolean;
  readonly runsDir: string;
  readonly artifactsDir?: string;
  readonly device?: string;
  readonly threads?: number;
}

/** Runs a manifest. Returns the exit code. */
export async function run(name: string, options: RunOptions): Promise<number> {
  const { text, path, isPreset, plan } = await openManifest(name, options);
  const target = options.target ?? options.group;
  if (options.dryRun) {
    const targets = chooseTargets(plan, { all: options.all, ...(target === undefined ? {} : { target }) }, path);
    demandSupportedPlan(plan, targets);
    process.stdout.write(`${path}: would run ${targets.map((t) => t.name).join(", ")}\n`);
    return 0;
  }
  return interruptible(async (signal, onEvent) => {
    const result = await runExperiment({
      manifest: text,
      ...(isPreset ? {} : { manifestPath: path }),
      ...(target === undefined ? {} : { target }),
      all: options.all,
      runsDir: options.runsDir,
      ...(options.artifactsDir === undefined ? {} : { artifactsDir: options.artifactsDir }),
      ...(options.device === undefined ? {} : { device: options.device }),
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      signal,
      onEvent,
    });
    return () => finish(result);
  });
}
