// Settings that the schema knows and this engine does not honour yet. Asking for one is an error that says so before
// anything is loaded; nothing is ignored in silence.
import { checkBenchmarks } from "@caramba/benchmark";
import type { Plan, Run, Target, TrainConfig } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";

type Check = readonly [keyof TrainConfig, string, (train: TrainConfig) => boolean, string];

const checks: readonly Check[] = [
  ["dtype", "dtype", (t) => t.dtype !== "float32" && t.dtype !== "auto", "use float32 or auto"],
  ["useAmp", "use_amp", (t) => t.useAmp && t.ampDtype !== "auto", "set use_amp: false, or amp_dtype: auto"],
  ["autoBatchSize", "auto_batch_size", (t) => t.autoBatchSize, "set batch_size"],
  [
    "activationCheckpointing",
    "activation_checkpointing",
    (t) => t.activationCheckpointing && t.phase === "blockwise",
    "set it to false: a blockwise step holds one layer only",
  ],
  ["distributedStrategy", "distributed_strategy", (t) => t.distributedStrategy !== "none", "use none"],
  ["offloadOptimizer", "offload_optimizer", (t) => t.offloadOptimizer, "set it to false"],
  ["teacherSanityReference", "teacher_sanity_reference", (t) => t.teacherSanityReference !== "none", "use none"],
  ["profileEvery", "profile_every", (t) => t.profileEvery > 0, "set it to 0"],
  ["dbaInit", "dba_init", (t) => t.dbaInit === "svd-legacy", "use svd or random"],
  [
    "blockwiseDistillTarget",
    "blockwise_distill_target",
    (t) => t.phase === "blockwise" && t.blockwiseDistillTarget !== "attention",
    "use attention",
  ],
  [
    "gradientAccumulationSteps",
    "gradient_accumulation_steps",
    (t) => t.phase === "blockwise" && t.gradientAccumulationSteps > 1,
    "set it to 1 in phase blockwise, with a larger batch_size",
  ],
  ["blockwiseAutotuneEnabled", "blockwise_autotune_enabled", (t) => t.blockwiseAutotuneEnabled, "set it to false"],
];

const modes = ["train"];
const instruments = ["rich", "jsonl", "none"];

/** Demands that targets of a plan, and the settings they share, are built. @throws CarambaError `unsupported`. */
export function demandSupportedPlan(plan: Plan, targets: readonly Target[]): void {
  const { wandb, wandbMode, instrument } = plan.defaults;
  if (wandb && wandbMode !== "disabled")
    throw unsupported("defaults.logging.wandb true", "set it to false; the curves are in training.csv and train.jsonl");
  const strange = instrument.split(/[\s,+]+/).find((name) => name !== "" && !instruments.includes(name));
  if (strange !== undefined)
    throw unsupported(`defaults.logging.instrument ${strange}`, `use ${instruments.join(", ")}`);
  for (const target of targets) demandSupported(target);
}

/** Demands that everything a target asks for is built. @throws CarambaError `unsupported`. */
export function demandSupported(target: Target): void {
  for (const run of target.runs) demandRun(target, run);
  demandOneTeacher(target);
  checkBenchmarks(target.benchmarks, { hasTokens: target.data.path !== null, canLoadCheckpoints: true });
  if (target.data.path === null)
    throw unsupported(
      `target "${target.name}": a dataset from the Hub (${target.data.dataset})`,
      "prepare a token file (caramba prepare) and name it in data.config.path",
    );
}

function demandRun(target: Target, run: Run): void {
  const place = `target "${target.name}", run "${run.id}"`;
  if (!modes.includes(run.mode)) throw unsupported(`${place}: mode ${run.mode}`, "use mode: train");
  const { train, verify } = run;
  if (verify && target.trainer.type === "standard")
    throw new CarambaError(`${place}: verify compares with a teacher, and this target has none`, {
      code: "teacher",
      remedy: "remove verify, or use trainer.upcycle or trainer.checkpoint_compare",
    });
  if (!train) return;
  for (const [key, spelling, hit, remedy] of checks)
    if (hit(train)) throw unsupported(`${place}: train.${spelling} ${String(train[key])}`, remedy);
  if (train.phase !== "standard" && target.trainer.type === "standard")
    throw unsupported(`${place}: phase ${train.phase} without a teacher`, "use trainer.upcycle");
}

/** Surgery happens once, before the first run: what later runs say of it may repeat the first, not differ. */
function demandOneTeacher(target: Target): void {
  const [first, ...later] = target.runs.flatMap((run) => (run.train ? [{ id: run.id, train: run.train }] : []));
  if (!first) return;
  const place = (id: string) => `target "${target.name}", run "${id}"`;
  for (const { id, train } of [first, ...later])
    if (train.teacherCkpt !== null && target.trainer.type === "standard")
      throw new CarambaError(`${place(id)}: train.teacher_ckpt has no use in trainer.standard`, {
        code: "teacher",
        remedy: "remove it, or use trainer.upcycle",
      });
  for (const { id, train } of later) {
    if (train.teacherCkpt !== null && train.teacherCkpt !== first.train.teacherCkpt)
      throw unsupported(
        `${place(id)}: another teacher_ckpt than that of run "${first.id}"`,
        "use one teacher per target",
      );
    if (train.dbaInit !== "svd" && train.dbaInit !== first.train.dbaInit)
      throw unsupported(`${place(id)}: dba_init ${train.dbaInit} after the first run`, `set it in run "${first.id}"`);
  }
}

const unsupported = (what: string, remedy: string): CarambaError =>
  new CarambaError(`${what} is not supported yet`, { code: "unsupported", remedy });
