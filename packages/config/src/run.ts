/** Runs as a manifest writes them: shared by both manifest forms. */
import { z } from "zod";
import { type BenchmarkSpec, benchmarkSpecSchema } from "./benchmark.ts";
import { exactly, nonNegativeInt, object, positiveInt, text } from "./schema.ts";
import { type TrainConfig, trainSchema } from "./train.ts";
import { type VerifyConfig, verifySchema } from "./verify.ts";

export type RunMode = "train" | "sample" | "chat";
export type ExpectedValue = string | number | boolean | null;

/** A run as written; `seed` may be a list (one run each), `steps` may be missing when nothing is trained. */
export interface ManifestRun {
  id: string;
  mode: RunMode;
  exp: string | null;
  seed: number | number[];
  steps: number | null;
  expected: Record<string, ExpectedValue>;
  verify: VerifyConfig | null;
  train: TrainConfig | null;
}

/** A name that becomes part of a file name. */
export const fileName: z.ZodString = text.regex(
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must stay out
  /^(?!\.)[^/\\:*?"<>|\u0000-\u001f]+$/,
  'expected a name that can be part of a file name (no leading dot, none of / \\ : * ? " < > |)',
);

/** A run's id begins the names of its checkpoints. */
const runName: z.ZodString = text
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9._-]*$/,
    'expected a name of letters, digits, "_", "-" and "." (not first), since it begins the names of checkpoints',
  )
  .max(100);

const seed = nonNegativeInt.max(2 ** 32 - 1);

export const runSchema: z.ZodType<ManifestRun> = exactly<ManifestRun>()(
  object({
    id: runName.describe("Name of the run in files and reports"),
    mode: z.enum(["train", "sample", "chat"]).default("train").describe("What the run does"),
    exp: text.nullable().default(null).describe("Label of the experiment; default the id"),
    seed: z
      .union([seed, z.array(seed).min(1)])
      .default(1337)
      .describe("Seed of all randomness; a list makes one run per seed"),
    steps: positiveInt.nullable().default(null).describe("Optimizer steps (blockwise: per block); needed to train"),
    expected: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
      .default({})
      .describe("Settings this run must resolve to, e.g. phase, attn_mode; a difference is an error"),
    verify: verifySchema.nullable().default(null).describe("Check of the student right after the run"),
    train: trainSchema.nullable().default(null).describe("How to train; none: verify only"),
  }),
);

export const runsSchema: z.ZodType<ManifestRun[]> = z
  .array(runSchema)
  .describe("Runs in order; they share one session");
export const benchmarksSchema: z.ZodType<BenchmarkSpec[] | null> = z
  .array(benchmarkSpecSchema)
  .nullable()
  .default(null)
  .describe("Measured once, after all runs");
