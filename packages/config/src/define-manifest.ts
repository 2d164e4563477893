/**
 * A manifest written in TypeScript: the plan's shape in camelCase with defaults left out, checked by the schemas and
 * rules that a YAML manifest goes through.
 */

import { ConfigError, type ConfigIssue } from "./error.ts";
import { codeIssues, manifestSpelling } from "./fill-in.ts";
import type { ModelInput, TrainInput } from "./from-code.ts";
import type { BenchmarkSpecInput, VerifyInput } from "./from-code-run.ts";
import { check } from "./issues.ts";
import { lowerManifest } from "./lower.ts";
import { targetManifestSchema } from "./manifest.ts";
import type { Defaults, Plan, TargetData, TargetTrainer } from "./plan.ts";
import type { ExpectedValue, RunMode } from "./run.ts";

export interface RunInput {
  id: string;
  mode?: RunMode | undefined;
  exp?: string | undefined;
  /** A list makes one run per seed. */
  seed?: number | readonly number[] | undefined;
  steps?: number | undefined;
  /** Keys in manifest spelling, e.g. `attn_mode`. */
  expected?: Record<string, ExpectedValue> | undefined;
  train?: TrainInput | undefined;
  verify?: VerifyInput | undefined;
}

export interface TargetInput {
  name: string;
  description?: string | undefined;
  data: { blockSize: number } & Partial<Omit<TargetData, "blockSize">>;
  model: Omit<ModelInput, "type"> & { type?: ModelInput["type"] | undefined };
  /** Default: by the runs' phases. */
  trainer?: TargetTrainer | undefined;
  runs?: readonly RunInput[] | undefined;
  benchmarks?: readonly BenchmarkSpecInput[] | undefined;
}

export interface ManifestInput {
  name?: string | undefined;
  notes?: string | undefined;
  artifactsDir?: string | undefined;
  defaults?: Partial<Defaults> | undefined;
  targets: readonly TargetInput[];
  entrypoints?: Record<string, string> | undefined;
}

/** The plan of a manifest built in code; throws ConfigError listing every mistake, fields in camelCase. */
export function defineManifest(input: ManifestInput): Plan {
  const { targets, entrypoints, defaults, ...head } = input;
  const data = {
    ...spelled({ ...head, defaults: defaults ?? {} }),
    version: 2,
    targets: targets.map(targetData),
    entrypoints: entrypoints ?? {},
  };
  const parsed = check(targetManifestSchema, data);
  if (!parsed.ok) throw new ConfigError("the manifest", codeIssues(parsed.issues.map(inner)));
  const { plan, issues } = lowerManifest(parsed.value);
  if (issues.length === 0) return plan;
  throw new ConfigError("the manifest", codeIssues(issues.map((issue) => inner({ code: "rule", ...issue }))));
}

function targetData({ data, model, trainer, runs, ...head }: TargetInput): object {
  const { rebuildOnFailure, ...config } = data;
  const prepare = rebuildOnFailure === undefined ? {} : { prepare: { rebuildOnFailure } };
  const { type, ...settings } = trainer ?? { type: "train" };
  const compare = type === "checkpoint_compare" ? { config: settings } : {};
  return {
    type: "experiment",
    ...spelled({
      ...head,
      data: { ref: "dataset.tokens", config: { ...config, ...prepare } },
      system: { ref: "system.language_model", config: { model } },
      trainer: { ref: `trainer.${type}`, ...compare },
    }),
    runs: (runs ?? []).map(({ expected, ...run }) => ({ ...spelled(run), expected: expected ?? {} })),
  };
}

const spelled = (data: object): object => manifestSpelling("the manifest", data) as object;

/** The path in the input's shape: components are an affair of YAML. */
function inner(issue: ConfigIssue): ConfigIssue {
  const [targets, index, part, ...rest] = issue.path;
  if (targets !== "targets" || (part !== "system" && part !== "data") || rest[0] !== "config") return issue;
  const tail = part === "system" ? rest.slice(1) : ["data", ...rest.slice(1)];
  return { ...issue, path: [targets, index ?? 0, ...tail] };
}
