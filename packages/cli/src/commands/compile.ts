// caramba compile: everything up to validation, and the plan as text or JSON with what the models cost.
import { totalmem } from "node:os";
import { describePlan, resolvedManifest, selectTarget } from "@caramba/config";
import { describeCosts, formatBytes, largestNeed } from "./costs-text.ts";
import { type ManifestChanges, openManifest } from "./open-manifest.ts";

/** Options of `caramba compile`. */
export interface CompileOptions extends ManifestChanges {
  readonly printPlan?: boolean;
  readonly target?: string;
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
  const target = options.target === undefined ? undefined : selectTarget(plan, options.target);
  const targets = target ? [target] : plan.targets;
  if (options.resolved) {
    const resolved = resolvedManifest({ ...plan, targets: [...targets] });
    print(options.json ? JSON.stringify(resolved) : JSON.stringify(resolved, null, 2));
    return 0;
  }
  if (!options.printPlan && !options.json) {
    const names = plan.targets.map((t) => t.name).join(", ");
    print(`${path}: ok, ${names === "" ? "no targets" : `targets ${names}`}`);
    return 0;
  }
  // Models and graphs are loaded only to be counted.
  const { targetCosts } = await import("./costs.ts");
  const costs = await Promise.all(targets.map(targetCosts));
  const machine = options.machineBytes ?? totalmem();
  const warnings = costs.flatMap((cost) => {
    const { bytes, what } = largestNeed(cost);
    return bytes > machine
      ? [`${what} needs about ${formatBytes(bytes)}; this machine has ${formatBytes(machine)} of memory`]
      : [];
  });
  const lines = describePlan(plan, target ? { target } : {});
  if (options.json) print(JSON.stringify({ ok: true, file: path, name: plan.name, plan: lines, costs, warnings }));
  else {
    for (const line of [...lines, ...costs.flatMap(describeCosts)]) print(line);
    for (const warning of warnings) print(`warning: ${warning}`);
  }
  return 0;
}
