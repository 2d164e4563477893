// The whole pipeline: manifest -> parse -> lower -> validate -> build -> run -> verify -> benchmark -> artifacts.
import { createHash } from "node:crypto";
import { writeArtifacts } from "@caramba/artifacts";
import { type Plan, parseManifestOrThrow, planNotices, unsupportedSettings } from "@caramba/config";
import type { HubOptions } from "@caramba/loader";
import { openBackend } from "@caramba/tensor";
import { chooseTargets, deviceOf } from "./choose.ts";
import type { ExperimentListener } from "./events.ts";
import { reportOf } from "./report.ts";
import { runTarget, type TargetResult } from "./run-target.ts";
import { demandSupportedPlan } from "./support.ts";

/** What to run and where to put it. */
export interface ExperimentOptions {
  /** Text of a manifest, YAML or JSON. */
  readonly manifest: string;
  /** Its path, for messages and for paths beside it. */
  readonly manifestPath?: string;
  /** Target or entry point; default as the manifest says. */
  readonly target?: string;
  /** Every target in order. */
  readonly all?: boolean;
  /** Engine; default: the first run's `device`. */
  readonly device?: string;
  readonly threads?: number;
  /** Checkpoints and logs; default `runs`. */
  readonly runsDir?: string;
  /** Reports; default: the manifest's `artifacts_dir`. */
  readonly artifactsDir?: string;
  readonly onEvent?: ExperimentListener;
  readonly signal?: AbortSignal;
  /** How models and tokenizers of the Hub are reached, e.g. `{ offline: true }`; default: as the environment says. */
  readonly hub?: HubOptions;
}

/** What came of it. */
export interface ExperimentResult {
  readonly plan: Plan;
  readonly status: "finished" | "interrupted";
  readonly targets: readonly (TargetResult & { readonly artifacts: string | null })[];
}

/**
 * Runs targets of a manifest. A run that was interrupted, or killed, goes on from its last checkpoint.
 * @throws ManifestError for the manifest, CarambaError for everything a user can mend.
 */
export async function runExperiment(options: ExperimentOptions): Promise<ExperimentResult> {
  const started = new Date();
  const { manifest, manifestPath = null, onEvent = () => {}, signal = null } = options;
  const { plan } = parseManifestOrThrow(manifest, {
    ...(manifestPath === null ? {} : { file: manifestPath }),
    check: (parsed) => unsupportedSettings(parsed, chooseTargets(parsed, options, manifestPath)),
  });
  const targets = chooseTargets(plan, options, manifestPath);
  demandSupportedPlan(plan, targets);
  for (const message of planNotices(plan, targets)) onEvent({ type: "note", message });
  const threads = options.threads === undefined ? {} : { threads: options.threads };
  const backend = await openBackend(deviceOf(targets, options.device), threads);
  const results: (TargetResult & { artifacts: string | null })[] = [];
  try {
    for (const target of targets) {
      const result = await runTarget(target, {
        plan,
        backend,
        manifestPath,
        runsDir: options.runsDir ?? "runs",
        onEvent,
        signal,
        ...(options.hub ? { hub: options.hub } : {}),
      });
      let artifacts: string | null = null;
      if (result.status === "finished" && result.benchmarks) {
        onEvent({ type: "stage", stage: "artifacts", target: target.name, detail: "" });
        const report = reportOf(plan, [...results, result], {
          started,
          backend,
          manifestPath,
          manifestHash: createHash("sha256").update(manifest).digest("hex"),
        });
        const root = options.artifactsDir ?? plan.artifactsDir;
        const written = await writeArtifacts(report, { root });
        artifacts = written.dir;
        for (const message of written.warnings) onEvent({ type: "note", message });
      }
      results.push({ ...result, artifacts });
      if (result.status === "interrupted") return { plan, status: "interrupted", targets: results };
    }
    return { plan, status: "finished", targets: results };
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return { plan, status: "interrupted", targets: results };
    throw error;
  } finally {
    await backend.close();
  }
}
