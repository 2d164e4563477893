/**
 * Settings that are accepted and do not do what their words say here: said once, in the plan and in the log, so that
 * nobody believes in a speed or a record that is not there.
 */
import { fromCode } from "./fill-in.ts";
import { snake } from "./names.ts";
import type { Plan, Run, Target } from "./plan.ts";
import { informationalTrainKeys, type TrainConfig, trainSchema } from "./train.ts";

/** One sentence per setting, with the runs that it is about. */
export function planNotices(plan: Plan, targets: readonly Target[] = plan.targets): string[] {
  return [...defaultsNotices(plan), ...targets.flatMap(targetNotices)];
}

function defaultsNotices({ defaults }: Plan): string[] {
  const { wandb, wandbMode, instrument, bestEffort } = defaults;
  const notices: string[] = [];
  if (wandb && wandbMode !== "disabled")
    notices.push(
      "defaults: wandb is true, but nothing is sent to Weights & Biases yet; curves are in training.csv and train.jsonl",
    );
  if (instrument !== "rich")
    notices.push(`defaults: instrument ${instrument} changes nothing here; every step is in train.jsonl anyway`);
  if (bestEffort) notices.push("defaults: best_effort changes nothing here; a device that is missing is an error");
  return notices;
}

function targetNotices(target: Target): string[] {
  const { name, model, runs } = target;
  const sized =
    model.targetParams === null
      ? []
      : [`${name}: target_params changes nothing by itself; --target-params ${model.targetParams} resizes the model`];
  return [...sized, ...initializationNotices(target), ...runs.flatMap((run) => runNotices(target, run))];
}

/** Surgery and loading replace every weight that a scheme is about, unless surgery is asked for random attention. */
function initializationNotices({ name, model, trainer, runs }: Target): string[] {
  const random = runs.find((run) => run.train)?.train?.dbaInit === "random";
  if (model.initialization.scheme === "default" || trainer.type === "standard" || random) return [];
  return [`${name}: initialization ${model.initialization.scheme} changes nothing: weights come from checkpoints`];
}

function runNotices(target: Target, { id, train }: Run): string[] {
  if (!train) return [];
  const place = `${target.name}, run ${id}`;
  const notices: string[] = [];
  if (train.useAmp) {
    const why = train.ampDtype === "auto" ? "auto resolves to float32" : "amp_dtype is float32";
    notices.push(`${place}: use_amp is true, but ${why} on these engines: activations stay float32`);
  }
  if (train.dtype === "auto") notices.push(`${place}: dtype auto resolves to float32: weights stay float32`);
  const idle = informationalTrainKeys.filter((key) => train[key] !== standard()[key]).map((key) => snake(key));
  if (idle.length > 0) notices.push(`${place}: ${idle.join(", ")} describe other engines and change nothing here`);
  return notices;
}

let defaults: TrainConfig | null = null;
function standard(): TrainConfig {
  defaults ??= fromCode(trainSchema, "train", { phase: "standard", batchSize: 1, blockSize: 1, lr: 1 });
  return defaults;
}
