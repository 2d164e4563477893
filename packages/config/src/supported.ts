/**
 * Settings that the schema knows and that this version cannot honour: wrong for what the target is, or not built yet.
 * Each is an issue at the line that asks for it, before anything is loaded; nothing is ignored in silence.
 */
import { type AttentionLayerConfig, surgeryObstacle } from "./attention.ts";
import type { BenchmarkSpec } from "./benchmark.ts";
import type { IssueCode } from "./error.ts";
import { modelDemands } from "./model-demands.ts";
import { snake } from "./names.ts";
import { type Path, placeOf } from "./places.ts";
import type { Plan, Run, Target } from "./plan.ts";
import { closest } from "./suggest.ts";
import type { NodeConfig } from "./topology.ts";
import type { TrainConfig } from "./train.ts";
import { layersOf } from "./tree.ts";

/** Something wrong with a part of a plan. */
export interface PlanIssue {
  code: IssueCode;
  /** In the manifest; empty for plans that no manifest made. */
  path: Path;
  /** Which part, for messages without a manifest: `target "a", run "b"`. */
  place: string;
  message: string;
  /** What to write instead. */
  remedy: string;
  /** Other parts of the manifest that the finding rests on; of no weight where those are wrong themselves. */
  leansOn?: readonly Path[];
}

type Check = readonly [keyof TrainConfig, (train: TrainConfig) => boolean, string];

const checks: readonly Check[] = [
  ["dtype", (t) => t.dtype !== "float32" && t.dtype !== "auto", "use float32 or auto"],
  ["autoBatchSize", (t) => t.autoBatchSize, "set batch_size"],
  [
    "activationCheckpointing",
    (t) => t.activationCheckpointing && t.phase === "blockwise",
    "set it to false: a blockwise step holds one layer only",
  ],
  ["distributedStrategy", (t) => t.distributedStrategy !== "none", "use none"],
  ["offloadOptimizer", (t) => t.offloadOptimizer, "set it to false"],
  ["teacherSanityReference", (t) => t.teacherSanityReference !== "none", "use none"],
  ["profileEvery", (t) => t.profileEvery > 0, "set it to 0"],
  ["dbaInit", (t) => t.dbaInit === "svd-legacy", "use svd or random"],
];

const instruments = ["rich", "jsonl", "none"];
/** Benchmarks that can be measured. */
const measured: readonly BenchmarkSpec["config"]["type"][] = ["perplexity", "latency", "memory"];
/** Storage that a generation's cache can have. */
const storage = ["fp16", "fp32"];

/** Everything that targets of a plan, and the defaults they share, ask for in vain. */
export function unsupportedSettings(plan: Plan, targets: readonly Target[] = plan.targets): PlanIssue[] {
  return [...defaultsIssues(plan), ...targets.flatMap(targetIssues)];
}

function defaultsIssues({ defaults }: Plan): PlanIssue[] {
  const names = defaults.instrument.split(/[\s,+]+/).filter((name) => name !== "");
  return names
    .filter((name) => !instruments.includes(name))
    .map((name) => {
      const near = closest(name, instruments);
      return unsupported(
        placeOf(defaults, "instrument"),
        "defaults",
        `instrument ${name}`,
        `use ${near ?? instruments.join(", ")}`,
      );
    });
}

function targetIssues(target: Target): PlanIssue[] {
  const { model, data } = target;
  const place = `target "${target.name}"`;
  const issues: PlanIssue[] = [];
  if (model.type !== "TransformerModel" && model.type !== "GPTModel")
    issues.push(
      unsupported(placeOf(target, "model", "type"), place, `model type ${model.type}`, "use TransformerModel"),
    );
  if (model.diffusionHead.enabled)
    issues.push(
      unsupported(placeOf(target, "model", "diffusion_head", "enabled"), place, "diffusion_head", "set it to false"),
    );
  if (data.path === null)
    issues.push(
      unsupported(
        placeOf(target, "data_source"),
        place,
        `a dataset from the Hub (${data.dataset})`,
        "prepare a token file (caramba prepare) and name it in data.config.path",
      ),
    );
  return [
    ...issues,
    ...target.runs.flatMap((run) => runIssues(target, run)),
    ...initIssues(target).map((issue) => ({ ...issue, leansOn: trainerGrounds(target) })),
    ...teacherIssues(target).map((issue) => ({ ...issue, leansOn: teacherGrounds(target) })),
    ...target.benchmarks.flatMap((spec) => benchmarkIssues(target, spec)),
    ...modelDemands(target),
  ];
}

/** What decides how a target trains. */
const trainerGrounds = (target: Target): Path[] => [placeOf(target, "trainer"), placeOf(target, "runs")];
const teacherGrounds = (target: Target): Path[] => [...trainerGrounds(target), placeOf(target, "model", "topology")];

function runIssues(target: Target, run: Run): PlanIssue[] {
  const place = `target "${target.name}", run "${run.id}"`;
  const { mode, train, verify } = run;
  const issues: PlanIssue[] = [];
  if (mode !== "train")
    issues.push(
      unsupported(
        placeOf(run, "mode"),
        place,
        `mode ${mode} in a manifest`,
        `use mode: train, and caramba ${mode === "chat" ? "chat" : "generate"} with a checkpoint`,
      ),
    );
  if (verify && target.trainer.type === "standard")
    issues.push({
      ...{ code: "rule", path: placeOf(run, "verify"), place },
      message: "verify compares with a teacher, and this target has none",
      remedy: "remove it, or use trainer.upcycle or trainer.checkpoint_compare",
      leansOn: trainerGrounds(target),
    });
  if (!train) return issues;
  if (target.model.embedder.type === "none")
    issues.push({
      ...{ code: "rule", path: placeOf(run, "train"), place },
      message: "training needs a model with a token embedder, found none",
      remedy: "give the model an embedder {type: token, vocab_size, d_model}",
      leansOn: [placeOf(target, "model", "embedder")],
    });
  if (train.useAmp && !["auto", "float32"].includes(train.ampDtype))
    issues.push(
      unsupported(
        placeOf(run, "train", "use_amp"),
        place,
        `use_amp with amp_dtype ${train.ampDtype}`,
        "set amp_dtype: auto (which is float32 here), or use_amp: false",
      ),
    );
  for (const [key, hit, remedy] of checks)
    if (hit(train))
      issues.push(
        unsupported(placeOf(run, "train", snake(key)), place, `train.${snake(key)} ${String(train[key])}`, remedy),
      );
  return issues;
}

/** Surgery happens once, before the first run: what later runs say of it may repeat the first, not differ. */
function teacherIssues(target: Target): PlanIssue[] {
  const trained = target.runs.flatMap((run) => (run.train ? [{ run, train: run.train }] : []));
  const [first, ...later] = trained;
  const place = ({ id }: Run) => `target "${target.name}", run "${id}"`;
  if (target.trainer.type === "standard")
    return trained
      .filter(({ train }) => train.teacherCkpt !== null)
      .map(({ run }) => ({
        ...{ code: "rule" as const, path: placeOf(run, "train", "teacher_ckpt"), place: place(run) },
        message: "train.teacher_ckpt has no use in trainer.standard",
        remedy: "remove it, or use trainer.upcycle",
      }));
  if (!first || target.trainer.type !== "upcycle") return [];
  const issues: PlanIssue[] = [];
  if (first.train.teacherCkpt === null)
    issues.push({
      ...{ code: "missing", path: placeOf(first.run, "train", "teacher_ckpt"), place: place(first.run) },
      message: "an upcycle needs train.teacher_ckpt in its first run, found nothing",
      remedy: "name a Caramba checkpoint or a Hugging Face folder",
    });
  if (first.train.dbaInit === "svd")
    for (const option of new Set(decoupledLayers(target.model.topology).map(surgeryObstacle)))
      if (option !== null)
        issues.push(
          unsupported(
            placeOf(first.run, "train", "dba_init"),
            place(first.run),
            `dba_init svd of attention with ${option}`,
            "use dba_init: random, or leave the option out",
          ),
        );
  for (const { run, train } of later) {
    if (train.teacherCkpt !== null && train.teacherCkpt !== first.train.teacherCkpt)
      issues.push(
        unsupported(
          placeOf(run, "train", "teacher_ckpt"),
          place(run),
          `another teacher_ckpt than that of run "${first.run.id}"`,
          "use one teacher per target",
        ),
      );
    if (train.dbaInit !== "svd" && train.dbaInit !== first.train.dbaInit)
      issues.push(
        unsupported(
          placeOf(run, "train", "dba_init"),
          place(run),
          `dba_init ${train.dbaInit} after the first run`,
          `set it in run "${first.run.id}"`,
        ),
      );
  }
  return issues;
}

/** Weights are loaded once, before the first run, into the model that is trained. */
function initIssues(target: Target): PlanIssue[] {
  const trained = target.runs.flatMap((run) => (run.train ? [{ run, train: run.train }] : []));
  const first = trained[0]?.train.initCkpt ?? null;
  const isStandard = target.trainer.type === "standard";
  return trained
    .filter(({ train }) => train.initCkpt !== null && (!isStandard || train.initCkpt !== first))
    .map(({ run }) => ({
      ...{ code: "rule" as const, path: placeOf(run, "train", "init_ckpt") },
      place: `target "${target.name}", run "${run.id}"`,
      message: isStandard
        ? "train.init_ckpt differs from that of the first run: weights are loaded once, before it"
        : "train.init_ckpt is for trainer.standard: here the student starts from its teacher",
      remedy: isStandard ? "name it in the first run alone" : "remove it, or use trainer.standard",
    }));
}

function decoupledLayers(node: NodeConfig): AttentionLayerConfig[] {
  return layersOf(node).flatMap((layer) =>
    layer.type === "AttentionLayer" && layer.mode === "decoupled" ? [layer] : [],
  );
}

function benchmarkIssues(target: Target, spec: BenchmarkSpec): PlanIssue[] {
  const place = `target "${target.name}", benchmark "${spec.id}"`;
  const { config } = spec;
  if (config.type === "suite")
    return [unsupported(placeOf(spec, "id"), place, `a custom suite (${config.suite})`, `use ${measured.join(", ")}`)];
  if (!measured.includes(config.type))
    return [
      unsupported(
        placeOf(spec, "config", "type"),
        place,
        `benchmark type ${config.type}`,
        `use ${measured.join(", ")}`,
      ),
    ];
  if (config.type !== "latency" || !config.useCache) return [];
  if (config.cachePolicy !== null)
    return [
      unsupported(
        placeOf(spec, "config", "cache_policy"),
        place,
        "cache_policy",
        `set cache_kind: ${storage.join(" or ")}`,
      ),
    ];
  if (storage.includes(config.cacheKind)) return [];
  return [
    unsupported(
      placeOf(spec, "config", "cache_kind"),
      place,
      `cache_kind ${config.cacheKind} in a latency benchmark`,
      `use ${storage.join(" or ")}`,
    ),
  ];
}

function unsupported(path: Path, place: string, what: string, remedy: string): PlanIssue {
  return { code: "unsupported", path, place, message: `${what} is not supported yet`, remedy };
}
