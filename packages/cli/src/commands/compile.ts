// caramba compile: everything up to validation, and the plan as text or JSON with what the models cost.
import { describePlan, planNotices, resolvedManifest, selectTarget } from "@caramba/config";
import { printJson } from "../json-output.ts";
import { describeCosts, machineMemory, memoryWarnings } from "./costs-text.ts";
import { type ManifestChanges, openManifest } from "./open-manifest.ts";

/** Options of `caramba compile`. */
export interface CompileOptions extends ManifestChanges {
  readonly printPlan?: boolean;
  readonly target?: string;
  /** The same as `target`. */
  readonly group?: string;
  /** One JSON object instead of text. */
  readonly json?: boolean;
  /** The manifest with every default and variable filled in, as JSON (which is YAML too). */
  readonly resolved?: boolean;
  /** Bytes of this machine; default: what the operating system says. */
  readonly machineBytes?: number;
}

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Checks a manifest; prints its plan when asked. Returns the exit code. */
export async function compile(name: string, options: CompileOptions): Promise<number> {
  const { path, plan } = await openManifest(name, options);
  const chosen = options.target ?? options.group;
  const target = chosen === undefined ? undefined : selectTarget(plan, chosen);
  const targets = target ? [target] : plan.targets;
  const notices = planNotices(plan, targets);
  if (options.resolved) {
    const resolved = resolvedManifest({ ...plan, targets: [...targets] });
    print(options.json ? JSON.stringify(resolved) : JSON.stringify(resolved, null, 2));
    return 0;
  }
  if (!options.printPlan && !options.json) {
    const names = plan.targets.map((t) => t.name).join(", ");
    print(`${path}: ok, ${names === "" ? "no targets" : `targets ${names}`}`);
    for (const notice of notices) print(`notice: ${notice}`);
    return 0;
  }
  // Models and graphs are loaded only to be counted.
  const { targetCosts } = await import("./costs.ts");
  const costs = await Promise.all(targets.map(targetCosts));
  const warnings = memoryWarnings(costs, options.machineBytes ?? machineMemory());
  const lines = describePlan(plan, target ? { target } : {});
  if (options.json) printJson({ ok: true, file: path, name: plan.name, plan: lines, costs, notices, warnings });
  else {
    for (const line of [...lines, ...costs.flatMap(describeCosts)]) print(line);
    for (const notice of notices) print(`notice: ${notice}`);
    for (const warning of warnings) print(`warning: ${warning}`);
  }
  return 0;
}
