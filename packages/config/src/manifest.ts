/**
 * The two forms of a manifest. The older has one `model` and `groups` of runs; version 2 has `targets`, each with
 * its own data and system. Both are lowered to one Plan (lower.ts).
 */
import { z } from "zod";
import type { BenchmarkSpec } from "./benchmark.ts";
import { type ModelConfig, modelSchema } from "./model.ts";
import { benchmarksSchema, fileName, type ManifestRun, runsSchema } from "./run.ts";
import { exactly, nonNegativeInt, object, positiveInt, probability, text, variants } from "./schema.ts";

/** Settings shared by all runs, as written: flat (older form) or in sections; null where nothing is written. */
export interface ManifestDefaults extends DataDefaults, LoggingDefaults, RuntimeDefaults {
  data: DataDefaults | null;
  logging: LoggingDefaults | null;
  runtime: RuntimeDefaults | null;
}

export interface DataDefaults {
  tokenizer: string | null;
  valFrac: number | null;
}

export interface LoggingDefaults {
  instrument: string | null;
  wandb: boolean | null;
  wandbProject: string | null;
  wandbEntity: string | null;
  wandbMode: "online" | "offline" | "disabled" | null;
  evalIters: number | null;
}

export interface RuntimeDefaults {
  saveEvery: number | null;
  bestEffort: boolean | null;
}

/** Older form: a group of runs on one dataset. */
export interface ManifestGroup {
  name: string;
  description: string;
  data: string;
  runs: ManifestRun[];
  benchmarks: BenchmarkSpec[] | null;
}

/** Older form. */
export interface GroupManifest {
  version: number;
  name: string | null;
  notes: string;
  artifactsDir: string;
  defaults: ManifestDefaults;
  model: ModelConfig;
  groups: ManifestGroup[];
}

/** Tokens from a file, or from a Hub dataset that has been prepared. */
export interface TokensData {
  ref: "dataset.tokens";
  config: {
    path: string | null;
    dataset: string | null;
    tokens: string | number | null;
    blockSize: number;
    tokenizer: string | null;
    valFrac: number | null;
    prepare: { rebuildOnFailure: boolean };
  };
}

export interface ModelSystem {
  ref: "system.language_model" | "system.generic";
  config: { model: ModelConfig };
}

export type TrainerRef =
  | { ref: "trainer.train" | "trainer.standard" | "trainer.upcycle" }
  | { ref: "trainer.checkpoint_compare"; config: { teacherCkpt: string; studentCkpt: string } };

/** Version 2: one experiment. */
export interface ManifestTarget {
  type: "experiment";
  name: string;
  description: string;
  backend: "torch" | "pt" | "lightning" | "mlx";
  compute: "local";
  task: { ref: "task.language_modeling" };
  data: TokensData;
  system: ModelSystem;
  objective: { ref: "objective.next_token_ce" | "objective.none" };
  trainer: TrainerRef;
  metrics: { ref: "metrics.none" }[];
  runs: ManifestRun[];
  benchmarks: BenchmarkSpec[] | null;
}

/** Version 2. */
export interface TargetManifest {
  version: number;
  name: string | null;
  notes: string;
  artifactsDir: string;
  defaults: ManifestDefaults;
  targets: ManifestTarget[];
  entrypoints: Record<string, string>;
}

export type Manifest = GroupManifest | TargetManifest;

const tokenizer = text
  .nullable()
  .default(null)
  .describe("hf://org/name, tiktoken, tiktoken:gpt2, gpt2, byte, or a path of a tokenizer.json or its folder");
const val_frac = probability.nullable().default(null).describe("Share of the data held out for validation");
const dataFields = { tokenizer, val_frac };
const loggingFields = {
  instrument: text.nullable().default(null).describe("How progress is shown"),
  wandb: z.boolean().nullable().default(null).describe("Send metrics to Weights & Biases"),
  wandb_project: z.string().nullable().default(null).describe("Its project"),
  wandb_entity: z.string().nullable().default(null).describe("Its entity"),
  wandb_mode: z.enum(["online", "offline", "disabled"]).nullable().default(null).describe("Its mode"),
  eval_iters: nonNegativeInt.nullable().default(null).describe("Steps between evaluations; 0 is never"),
};
const runtimeFields = {
  save_every: positiveInt.nullable().default(null).describe("Steps between checkpoints"),
  best_effort: z.boolean().nullable().default(null).describe("Missing accelerators only warn"),
};

const defaults = exactly<ManifestDefaults>()(
  object({
    ...dataFields,
    ...loggingFields,
    ...runtimeFields,
    data: object(dataFields).nullable().default(null).describe("Defaults of data"),
    logging: object(loggingFields).nullable().default(null).describe("Defaults of logging"),
    runtime: object(runtimeFields).nullable().default(null).describe("Defaults of the runtime"),
  }),
);

const head = {
  version: positiveInt.describe("2 for targets, 1 for groups"),
  name: fileName.nullable().default(null).describe("Names the artifacts directory"),
  notes: z.string().default("").describe("For people"),
  artifacts_dir: text.default("artifacts").describe("Where results are written"),
  defaults: defaults.prefault({}).describe("Settings shared by all runs"),
};

const group = exactly<ManifestGroup>()(
  object({
    name: fileName.describe("Name of the group"),
    description: z.string().default("").describe("For people"),
    data: text.describe("Path of the tokens"),
    runs: runsSchema.default([]),
    benchmarks: benchmarksSchema,
  }),
);

/** Older form: defaults, model, groups. */
export const groupManifestSchema: z.ZodType<GroupManifest> = exactly<GroupManifest>()(
  object({
    ...head,
    model: modelSchema.describe("Embedder and topology, shared by all groups"),
    groups: z.array(group).min(1).describe("Groups of runs"),
  }),
);

/** A component may be written as its bare ref. */
function component<T>(schema: z.ZodType<T>): z.ZodType<T> {
  return z.preprocess((value) => (typeof value === "string" ? { ref: value } : value), schema);
}

const noConfig = object({}).optional().describe("This component has no settings");

/** A component without settings; an empty `config` is tolerated. */
function plain<const R extends [string, ...string[]]>(refs: R): z.ZodType<{ ref: R[number] }> {
  const schema = object({ ref: z.enum(refs), config: noConfig });
  return component((schema as unknown as z.ZodType<{ ref: R[number] }>).transform(({ ref }) => ({ ref })));
}

const tokens = exactly<TokensData>()(
  object({
    ref: z.literal("dataset.tokens"),
    config: object(
      {
        path: text.nullable().default(null).describe("Path of a .npy or .tokens file"),
        dataset: text.nullable().default(null).describe("Hub id, with tokens"),
        tokens: z.union([text, positiveInt]).nullable().default(null).describe("How much of it, e.g. 100m or 1b"),
        block_size: positiveInt.describe("Tokens per sequence"),
        tokenizer,
        val_frac,
        prepare: object({
          rebuild_on_failure: z.boolean().default(true).describe("Prepare again when the teacher check fails"),
        })
          .prefault({})
          .describe("Preparation of the data"),
      },
      ({ path, dataset, tokens: amount }) =>
        path !== null || (dataset !== null && amount !== null)
          ? []
          : [{ path: [], message: "expected path, or both dataset and tokens, found neither" }],
    ).describe("Where the tokens are"),
  }),
);

const system = exactly<ModelSystem>()(
  object({
    ref: z.enum(["system.language_model", "system.generic"]),
    config: object({ model: modelSchema.describe("Embedder and topology") }).describe("The model"),
  }),
);

const trainer: z.ZodType<TrainerRef> = component(
  variants("ref", [
    object({ ref: z.enum(["trainer.train", "trainer.standard", "trainer.upcycle"]), config: noConfig }),
    object({
      ref: z.literal("trainer.checkpoint_compare"),
      config: object({
        teacher_ckpt: text.describe("Checkpoint of the teacher"),
        student_ckpt: text.describe("Checkpoint of the student"),
      }).describe("What is compared"),
    }),
  ]),
);

const target = exactly<ManifestTarget>()(
  object({
    type: z.literal("experiment").describe("Kind of target"),
    name: fileName.describe("Name of the target"),
    description: z.string().default("").describe("For people"),
    backend: z
      .enum(["torch", "pt", "lightning", "mlx"])
      .default("torch")
      .describe("Informational: the original's engine"),
    compute: z.literal("local").default("local").describe("Where it runs"),
    task: plain(["task.language_modeling"]).prefault("task.language_modeling").describe("What is learned"),
    data: component(tokens).describe("The tokens"),
    system: component(system).describe("The model"),
    objective: plain(["objective.next_token_ce", "objective.none"])
      .prefault("objective.next_token_ce")
      .describe("The loss"),
    trainer: trainer.prefault("trainer.train").describe("train picks by the runs' phases"),
    metrics: z
      .array(plain(["metrics.none"]))
      .max(0)
      .default([])
      .describe("Further metrics (none yet)"),
    runs: runsSchema.default([]),
    benchmarks: benchmarksSchema,
  }),
);

/** Version 2: defaults, targets, entrypoints. */
export const targetManifestSchema: z.ZodType<TargetManifest> = exactly<TargetManifest>()(
  object({
    ...head,
    targets: z.array(target).default([]).describe("Experiments"),
    entrypoints: z.record(z.string(), text).default({}).describe("Names for targets; default is the one run"),
  }),
);
