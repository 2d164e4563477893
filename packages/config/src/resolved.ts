/**
 * A plan written back as a manifest (version 2 form) with every default and variable filled in: what a report keeps
 * and what `--resolved` shows. Parsing it again gives the same plan.
 */
import { snakeKeys } from "./names.ts";
import type { Plan, Run, Target } from "./plan.ts";

/** Plain data in manifest spelling, ready for JSON or YAML. */
export function resolvedManifest(plan: Plan): Record<string, unknown> {
  const { tokenizer, valFrac, saveEvery, bestEffort, ...logging } = plan.defaults;
  return {
    version: plan.version,
    name: plan.name,
    notes: plan.notes,
    artifacts_dir: plan.artifactsDir,
    defaults: snakeKeys({ data: { tokenizer, valFrac }, logging, runtime: { saveEvery, bestEffort } }),
    targets: plan.targets.map(targetData),
    entrypoints: { ...plan.entrypoints },
  };
}

function targetData(target: Target): Record<string, unknown> {
  const { rebuildOnFailure, blockSize, ...data } = target.data;
  const { type, ...settings } = target.trainer;
  return {
    type: "experiment",
    name: target.name,
    description: target.description,
    task: "task.language_modeling",
    data: {
      ref: "dataset.tokens",
      config: snakeKeys({ ...data, blockSize: blockSize ?? longestBlock(target), prepare: { rebuildOnFailure } }),
    },
    system: { ref: "system.language_model", config: { model: snakeKeys(target.model) } },
    objective: "objective.next_token_ce",
    trainer:
      type === "checkpoint_compare"
        ? { ref: `trainer.${type}`, config: snakeKeys(settings) }
        : { ref: `trainer.${type}` },
    runs: target.runs.map(runData),
    benchmarks: snakeKeys(target.benchmarks),
  };
}

function runData(run: Run): Record<string, unknown> {
  const { expected, steps, train, verify, ...head } = run;
  return {
    ...head,
    ...(steps > 0 ? { steps } : {}),
    expected: { ...expected },
    train: snakeKeys(train),
    verify: snakeKeys(verify),
  };
}

/** The older form leaves the block size to the runs; version 2 needs one for the data. */
function longestBlock(target: Target): number {
  const blocks = target.runs.map((run) => run.train?.blockSize ?? 0);
  return Math.max(...blocks, 0) || (target.model.blockSize ?? 2048);
}
