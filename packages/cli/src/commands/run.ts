// caramba run: a manifest through the whole pipeline, with live progress, and a summary at the end.
import { describePlan, type Plan, planNotices, type Target } from "@caramba/config";
import { chooseTargets, type DryRunCheck, dryRun, runExperiment } from "@caramba/experiment";
import { printJson } from "../json-output.ts";
import { finish, interruptible } from "../session.ts";
import { memoryWarnings } from "./costs-text.ts";
import { type ManifestChanges, openManifest } from "./open-manifest.ts";
import { demandCheckpoints, type ResumePlace, resumePlace } from "./resume.ts";

/** Options of `caramba run`. */
export interface RunOptions extends Omit<ManifestChanges, "resume"> {
  readonly target?: string;
  readonly group?: string;
  readonly all: boolean;
  readonly dryRun: boolean;
  /** One JSON object instead of the summary. */
  readonly json?: boolean;
  /** `--resume`, `--resume <path>`, `--no-resume`; absent: as the manifest says. */
  readonly resume?: boolean | string;
  readonly runsDir: string;
  readonly artifactsDir?: string;
  readonly device?: string;
  readonly threads?: number;
}

/** Runs a manifest. Returns the exit code. */
export async function run(name: string, options: RunOptions): Promise<number> {
  const { resume, all } = options;
  const place: ResumePlace =
    typeof resume === "string" ? resumePlace(resume) : { runsDir: options.runsDir, target: null };
  const asked = options.target ?? options.group ?? (all ? undefined : (place.target ?? undefined));
  const choice = { all, ...(asked === undefined ? {} : { target: asked }) };
  const { runsDir } = place;
  const { resume: _, ...changes } = options;
  const { text, path, isPreset, plan } = await openManifest(
    name,
    { ...changes, ...(resume === undefined ? {} : { resume: resume !== false }) },
    (parsed) => chooseTargets(parsed, choice, name),
  );
  const targets = chooseTargets(plan, choice, path);
  if (resume !== undefined && resume !== false)
    await demandCheckpoints(plan, targets, runsDir, typeof resume === "string" ? resume : null);
  const manifestPath = isPreset ? null : path;
  if (options.dryRun) return describeDryRun({ ...options, runsDir }, path, manifestPath, plan, targets);
  const { targetCosts } = await import("./costs.ts");
  const warnings = memoryWarnings(await Promise.all(targets.map(targetCosts)));
  return interruptible(async (signal, onEvent) => {
    for (const message of warnings) onEvent({ type: "note", message: `warning: ${message}` });
    const result = await runExperiment({
      manifest: text,
      ...(manifestPath === null ? {} : { manifestPath }),
      ...choice,
      runsDir,
      ...(options.artifactsDir === undefined ? {} : { artifactsDir: options.artifactsDir }),
      ...(options.device === undefined ? {} : { device: options.device }),
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      signal,
      onEvent,
    });
    return () => finish(result, options.json === true);
  }, options.json === true);
}

/** Everything but the execution: the plan, what it costs, and whether all that it needs is there. */
async function describeDryRun(
  { runsDir, device, json }: RunOptions,
  file: string,
  manifestPath: string | null,
  plan: Plan,
  targets: readonly Target[],
): Promise<number> {
  const { targetCosts } = await import("./costs.ts");
  const { describeCosts } = await import("./costs-text.ts");
  const costs = await Promise.all(targets.map(targetCosts));
  const checks = await dryRun(plan, targets, { manifestPath, runsDir, ...(device === undefined ? {} : { device }) });
  const warnings = memoryWarnings(costs);
  const notices = planNotices(plan, targets);
  const lines = targets.flatMap((target, i) => describePlan(plan, { target }).slice(i === 0 ? 0 : 3));
  const ok = checks.every((check) => check.ok);
  const names = targets.map((target) => target.name);
  const code = ok ? 0 : 1;
  if (json) {
    printJson({
      ok,
      exitCode: code,
      file,
      name: plan.name,
      targets: names,
      plan: lines,
      costs,
      checks,
      notices,
      warnings,
    });
    return code;
  }
  const print = (line: string): boolean => process.stdout.write(`${line}\n`);
  for (const line of [...lines, ...costs.flatMap(describeCosts), ...checks.map(checkLine)]) print(line);
  for (const notice of notices) print(`notice: ${notice}`);
  for (const warning of warnings) print(`warning: ${warning}`);
  print(ok ? `${file}: would run ${names.join(", ")}` : `${file}: cannot run ${names.join(", ")} yet`);
  return code;
}

function checkLine({ target, what, ok, detail, remedy }: DryRunCheck): string {
  const place = target === null ? what : `${what} of ${target}`;
  return ok ? `check ${place}: ${detail}` : `missing ${place}: ${detail}${remedy ? `\n  -> ${remedy}` : ""}`;
}
