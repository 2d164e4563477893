// caramba compile: everything up to validation, and the plan as text with what the models cost.
import { describePlan, parseManifestOrThrow, selectTarget, type Target } from "@caramba/config";
import { forwardFlopsPerToken, kvBytesPerToken, Model, parameterCount } from "@caramba/model";
import { loadManifest } from "./load-manifest.ts";

/** Options of `caramba compile`. */
export interface CompileOptions {
  readonly printPlan: boolean;
  readonly target?: string;
}

/** Checks a manifest; prints its plan when asked. Returns the exit code. */
export async function compile(name: string, options: CompileOptions): Promise<number> {
  const { text, path } = await loadManifest(name);
  const { plan } = parseManifestOrThrow(text, { file: path });
  const target = options.target === undefined ? undefined : selectTarget(plan, options.target);
  if (!options.printPlan) {
    const names = plan.targets.map((t) => t.name).join(", ");
    process.stdout.write(`${path}: ok, ${names === "" ? "no targets" : `targets ${names}`}\n`);
    return 0;
  }
  const lines = describePlan(plan, target ? { target } : {});
  process.stdout.write(`${lines.join("\n")}\n`);
  for (const t of target ? [target] : plan.targets) process.stdout.write(`${costs(t).join("\n")}\n`);
  return 0;
}

const grouped = (n: number): string => Math.round(n).toLocaleString("en-US");

/** Parameters, arithmetic and cache of a target's model, counted from the modules that would run. */
function costs(target: Target): string[] {
  const model = new Model(target.model);
  const length = target.data.blockSize ?? target.model.blockSize ?? 512;
  return [
    `cost of ${target.name}:`,
    `  parameters=${grouped(parameterCount(model))}`,
    `  flops_per_token=${grouped(forwardFlopsPerToken(model, length))} (forward, context ${length})`,
    `  kv_bytes_per_token fp32=${grouped(kvBytesPerToken(model, "fp32"))} fp16=${grouped(kvBytesPerToken(model, "fp16"))} q8_0=${grouped(kvBytesPerToken(model, "q8_0"))} q4_0=${grouped(kvBytesPerToken(model, "q4_0"))} (K and V, all layers)`,
  ];
}
