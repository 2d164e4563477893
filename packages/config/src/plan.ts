/** The Plan: what both manifest forms are lowered to, with all defaults filled in and every run spelled out. */
import type { BenchmarkSpec } from "./benchmark.ts";
import { ConfigError } from "./error.ts";
import type { ModelConfig } from "./model.ts";
import type { ExpectedValue, RunMode } from "./run.ts";
import { closest } from "./suggest.ts";
import type { TrainConfig } from "./train.ts";
import type { VerifyConfig } from "./verify.ts";

/** Settings shared by all runs. */
export interface Defaults {
  tokenizer: string;
  valFrac: number;
  instrument: string;
  wandb: boolean;
  wandbProject: string;
  wandbEntity: string;
  wandbMode: "online" | "offline" | "disabled";
  /** Steps between evaluations; 0: never. */
  evalIters: number;
  /** Steps between checkpoints. */
  saveEvery: number;
  bestEffort: boolean;
}

/** The tokens of a target: a path, or a Hub dataset and how much of it. */
export interface TargetData {
  path: string | null;
  dataset: string | null;
  tokens: string | number | null;
  tokenizer: string;
  /** null: each run's own block size. */
  blockSize: number | null;
  valFrac: number;
  rebuildOnFailure: boolean;
}

/** How a target is trained; checkpoint_compare trains nothing and loads both models. */
export type TargetTrainer =
  | { type: "standard" }
  | { type: "upcycle" }
  | { type: "checkpoint_compare"; teacherCkpt: string; studentCkpt: string };

/** One run with one seed. */
export interface Run {
  id: string;
  mode: RunMode;
  exp: string;
  seed: number;
  /** Optimizer steps (blockwise: per block); 0 when `train` is null. */
  steps: number;
  expected: Record<string, ExpectedValue>;
  /** null: nothing is trained. evalIters and saveEvery are filled in from the defaults. */
  train: TrainConfig | null;
  verify: VerifyConfig | null;
}

/** One experiment: runs in order in one session, then benchmarks. */
export interface Target {
  name: string;
  description: string;
  data: TargetData;
  /** As written: `repeat` is expanded by lowerTopology when the model is built. */
  model: ModelConfig;
  trainer: TargetTrainer;
  runs: Run[];
  benchmarks: BenchmarkSpec[];
}

export interface Plan {
  version: number;
  /** "experiment" when the manifest has no name. */
  name: string;
  notes: string;
  artifactsDir: string;
  defaults: Defaults;
  targets: Target[];
  /** Name -> target name. */
  entrypoints: Record<string, string>;
}

/**
 * The target to run: by target name or entry point, with or without a `target:`, `experiment:`, `process:` or
 * `group:` prefix; without a name the `default` entry point, else the first. Throws ConfigError naming what exists.
 */
export function selectTarget(plan: Plan, name?: string): Target {
  const wanted = name ?? plan.entrypoints["default"] ?? plan.targets[0]?.name;
  if (wanted === undefined) {
    throw new ConfigError("the plan", [
      { code: "missing", path: ["targets"], message: "expected at least one target, found none" },
    ]);
  }
  const bare = stripPrefix(wanted);
  const target = plan.targets.find((candidate) => candidate.name === bare) ?? byEntrypoint(plan, bare);
  if (target !== undefined) return target;
  const names = [...new Set([...plan.targets.map((candidate) => candidate.name), ...Object.keys(plan.entrypoints)])];
  const suggestion = closest(bare, names);
  const message = `expected a target or entry point (${names.join(", ")}), found "${bare}"`;
  throw new ConfigError("the choice of target", [
    { code: "unknown_name", path: ["target"], message, ...(suggestion === undefined ? {} : { suggestion }) },
  ]);
}

/** `target:paper` -> `paper`. */
export function stripPrefix(name: string): string {
  return name.replace(/^(?:target|experiment|process|group):/, "");
}

function byEntrypoint(plan: Plan, name: string): Target | undefined {
  const target = Object.hasOwn(plan.entrypoints, name) ? plan.entrypoints[name] : undefined;
  return plan.targets.find((candidate) => candidate.name === target);
}
