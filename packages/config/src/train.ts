/**
 * TrainConfig: how one run trains. The field list is the schema's; `informational` names the keys that describe
 * the original's engine (CUDA loaders, fused kernels ...) and change no number here.
 */
import { z } from "zod";
import { deviceSchema } from "./device.ts";
import {
  exactly,
  nonNegative,
  nonNegativeInt,
  object,
  positive,
  positiveInt,
  probability,
  type RuleIssue,
  text,
} from "./schema.ts";

export type TrainPhase = "standard" | "blockwise" | "global";
export type OptimizerName = "adamw" | "sgd" | "lion";
export type TrainDType = "auto" | "float32" | "float16" | "bfloat16";
export type SchedulerName = "none" | "linear" | "cosine" | "constant";

/** Training settings with every default filled in. Lengths in tokens, sizes in samples, times in optimizer steps. */
export interface TrainConfig {
  phase: TrainPhase;
  batchSize: number;
  blockSize: number;
  lr: number;
  /** Engine and provider as `openBackend` takes them, e.g. "auto", "onnx:cpu". */
  device: string;
  dtype: TrainDType;
  autoBatchSize: boolean;
  autoBatchRefBlockSize: number;
  autoBatchMin: number;
  autoResume: boolean;
  skipIfFinal: boolean;
  initCkpt: string | null;
  teacherCkpt: string | null;
  teacherRopeBase: number | null;
  teacherRopeDim: number | null;
  dbaInit: "svd" | "svd-legacy" | "random";
  teacherSanityCheck: boolean;
  teacherSanityBatches: number;
  teacherSanityBatchSize: number;
  teacherSanityMaxNll: number;
  teacherSanityMaxPpl: number;
  teacherSanityReference: "none" | "hf";
  teacherSanityRefBatches: number;
  teacherSanityMaxPplRatioVsRef: number;
  teacherSanityMaxNllDeltaVsRef: number;
  teacherSanityReferenceFailFast: boolean;
  convergenceTarget: number | null;
  convergencePatience: number;
  convergenceMaxSteps: number;
  blockwiseAutotuneEnabled: boolean;
  blockwiseAutotuneMode: "off" | "monitor" | "active";
  blockwiseAutotuneMinLr: number;
  blockwiseAutotuneLrDecay: number;
  blockwiseAutotunePlateauPatience: number;
  blockwiseAutotuneEmaDecay: number;
  blockwiseAutotuneSpikeStd: number;
  blockwiseAutotuneWindowSize: number;
  blockwiseAutotuneLogEvery: number;
  blockwiseDistillTarget: "attention" | "residual";
  blockwiseTruncatedForward: boolean;
  blockwiseTeacherCacheMaxSize: number;
  blockwiseGradClipNorm: number;
  blockwiseResetLrEachBlock: boolean;
  cacheTeacherOutputs: boolean;
  kdWeight: number;
  kdTemperature: number;
  useAmp: boolean;
  ampDtype: TrainDType;
  gradientAccumulationSteps: number;
  gradClipNorm: number;
  numWorkers: number;
  pinMemory: boolean;
  prefetchFactor: number | null;
  compileModel: boolean | "auto";
  compileMode: string;
  optimizer: OptimizerName;
  weightDecay: number;
  adamBeta1: number;
  adamBeta2: number;
  adamEps: number;
  fusedOptimizer: boolean;
  offloadOptimizer: boolean;
  distributedStrategy: "none" | "ddp" | "fsdp";
  distributedBackend: "nccl" | "gloo";
  telemetryInterval: number;
  profileEvery: number;
  profileRecordShapes: boolean;
  activationCheckpointing: boolean;
  activationCheckpointThresholdMb: number;
  scheduler: SchedulerName;
  warmupSteps: number;
  minLrRatio: number;
  evalBatches: number;
  /** Steps between evaluations; null: the manifest's defaults.eval_iters (50). */
  evalIters: number | null;
  /** Steps between checkpoints; null: the manifest's defaults.save_every (100). */
  saveEvery: number | null;
}

const dtype = z.enum(["auto", "float32", "float16", "bfloat16"]);
const yes = z.boolean().default(true);
const no = z.boolean().default(false);

const shape = {
  phase: z
    .enum(["standard", "blockwise", "global"])
    .describe("standard: from scratch; blockwise: distil layer by layer; global: fine-tune the whole student"),
  batch_size: positiveInt.describe("Sequences per step"),
  block_size: positiveInt.describe("Tokens per sequence"),
  lr: positive.describe("Peak learning rate"),
  device: deviceSchema.prefault("auto").describe("Where to compute: auto, cpu, cuda, onnx:cpu, tfjs:webgpu ..."),
  dtype: dtype.default("float32").describe("Type of the weights"),

  auto_batch_size: no.describe("Scale batch_size with block_size"),
  auto_batch_ref_block_size: positiveInt.default(512).describe("Block size at which batch_size is meant"),
  auto_batch_min: positiveInt.default(1).describe("Smallest scaled batch"),

  auto_resume: yes.describe("Go on from the latest checkpoint of this run"),
  skip_if_final: yes.describe("Skip the run when its final checkpoint exists"),

  init_ckpt: text
    .nullable()
    .default(null)
    .describe("Weights to start from in trainer.standard: hf://org/name or a path; LoRA updates start fresh"),
  teacher_ckpt: z.string().min(1).nullable().default(null).describe("hf://org/name or a path"),
  teacher_rope_base: positive.nullable().default(null).describe("Informational; the model's rope_base counts"),
  teacher_rope_dim: positiveInt.nullable().default(null).describe("Informational"),
  dba_init: z
    .enum(["svd", "svd-legacy", "random"])
    .default("svd")
    .describe("How DBA projections start: factored from the teacher, the original's recipe, or random"),

  teacher_sanity_check: yes.describe("Measure the teacher on the data before training"),
  teacher_sanity_batches: positiveInt.default(2).describe("Batches of the check"),
  teacher_sanity_batch_size: positiveInt.default(1).describe("Sequences per batch of the check"),
  teacher_sanity_max_nll: positive.default(20).describe("Highest accepted loss, nats per token"),
  teacher_sanity_max_ppl: positive.default(200).describe("Highest accepted perplexity"),
  teacher_sanity_reference: z.enum(["none", "hf"]).default("none").describe("Compare with another implementation"),
  teacher_sanity_ref_batches: positiveInt.default(1).describe("Batches of that comparison"),
  teacher_sanity_max_ppl_ratio_vs_ref: positive.default(1.25).describe("Highest accepted perplexity ratio"),
  teacher_sanity_max_nll_delta_vs_ref: positive.default(0.25).describe("Highest accepted loss difference"),
  teacher_sanity_reference_fail_fast: yes.describe("A difference ends the run"),

  convergence_target: positive.nullable().default(null).describe("Blockwise: train a block until its loss is this low"),
  convergence_patience: positiveInt.default(50).describe("Steps without a new best before giving up on a block"),
  convergence_max_steps: positiveInt.default(5000).describe("Most steps per block in convergence mode"),

  blockwise_autotune_enabled: no.describe("Blockwise: watch the loss for spikes and plateaus"),
  blockwise_autotune_mode: z
    .enum(["off", "monitor", "active"])
    .default("monitor")
    .describe("off; monitor: report in the log; active: lower the rate too"),
  blockwise_autotune_min_lr: positive.default(1e-6).describe("Lowest rate that active goes down to"),
  blockwise_autotune_lr_decay: positive.default(0.5).describe("Factor of the rate at each event"),
  blockwise_autotune_plateau_patience: positiveInt
    .default(100)
    .describe("Steps without a new low of the smoothed loss that make a plateau"),
  blockwise_autotune_ema_decay: probability.default(0.99).describe("Smoothing of the loss: share of the past"),
  blockwise_autotune_spike_std: positive
    .default(3)
    .describe("Standard deviations above the smoothed loss that make a spike"),
  blockwise_autotune_window_size: positiveInt.default(50).describe("Losses that the standard deviation is taken of"),
  blockwise_autotune_log_every: positiveInt.default(50).describe("Steps between reports"),
  blockwise_distill_target: z
    .enum(["attention", "residual"])
    .default("attention")
    .describe("What is imitated: the attention's output, or that of the ResidualTopology around it"),
  blockwise_truncated_forward: yes.describe("Informational: a block is trained alone, on stored inputs"),
  blockwise_teacher_cache_max_size: nonNegativeInt.default(100).describe("Teacher batches kept"),
  blockwise_grad_clip_norm: nonNegative.default(0).describe("Clip a block's gradient norm; 0 is off"),
  blockwise_reset_lr_each_block: no.describe("Start the schedule anew for each block"),

  cache_teacher_outputs: yes.describe("Keep teacher outputs between epochs"),
  kd_weight: nonNegative.default(0).describe("Global: weight of the distillation term on logits; 0 is off"),
  kd_temperature: positive.default(1).describe("Softening of both logits in that term"),
  use_amp: no.describe("Mixed precision"),
  amp_dtype: dtype.default("float16").describe("Type of mixed-precision activations"),
  gradient_accumulation_steps: positiveInt.default(1).describe("Batches per optimizer step"),
  grad_clip_norm: nonNegative.default(0).describe("Clip the global gradient norm; 0 is off"),
  num_workers: nonNegativeInt.default(0).describe("Informational"),
  pin_memory: no.describe("Informational"),
  prefetch_factor: positiveInt.nullable().default(null).describe("Informational"),
  compile_model: z
    .union([z.boolean(), z.literal("auto")])
    .default(false)
    .describe("Informational: graphs are always compiled"),
  compile_mode: z.string().min(1).default("reduce-overhead").describe("Informational"),

  optimizer: z.enum(["adamw", "sgd", "lion"]).default("adamw").describe("Update rule"),
  weight_decay: nonNegative.default(0).describe("Decoupled weight decay"),
  adam_beta1: probability.default(0.9).describe("AdamW: decay of the first moment"),
  adam_beta2: probability.default(0.95).describe("AdamW: decay of the second moment"),
  adam_eps: positive.default(1e-8).describe("AdamW: added to the denominator"),
  fused_optimizer: no.describe("Informational: the update is always part of the step graph"),
  offload_optimizer: no.describe("Keep optimizer state in host memory"),

  distributed_strategy: z
    .enum(["none", "ddp", "fsdp"])
    .default("none")
    .describe("How several processes share the work"),
  distributed_backend: z.enum(["nccl", "gloo"]).default("nccl").describe("Informational"),

  telemetry_interval: positiveInt.default(10).describe("Informational: every step is logged"),
  profile_every: nonNegativeInt.default(0).describe("Steps between profiles; 0 is off"),
  profile_record_shapes: no.describe("Informational"),

  activation_checkpointing: no.describe("Recompute activations in the backward pass"),
  activation_checkpoint_threshold_mb: nonNegative.default(0).describe("Only for inputs of at least this many MiB"),

  scheduler: z.enum(["none", "linear", "cosine", "constant"]).default("none").describe("Learning rate after warm-up"),
  warmup_steps: nonNegativeInt.default(0).describe("Steps from 0 to lr"),
  min_lr_ratio: probability.default(0).describe("Last rate as a share of lr"),
  eval_batches: positiveInt.default(8).describe("Validation batches per evaluation"),
  eval_iters: nonNegativeInt
    .nullable()
    .default(null)
    .describe("Steps between evaluations; default defaults.eval_iters"),
  save_every: positiveInt.nullable().default(null).describe("Steps between checkpoints; default defaults.save_every"),
};

export const trainSchema: z.ZodType<TrainConfig> = exactly<TrainConfig>()(object(shape, trainRules));

/** Accepted keys (camelCase) that describe the original's engine and change nothing here. */
export const informationalTrainKeys: readonly (keyof TrainConfig)[] = [
  "teacherRopeBase",
  "teacherRopeDim",
  "numWorkers",
  "pinMemory",
  "prefetchFactor",
  "compileModel",
  "compileMode",
  "fusedOptimizer",
  "distributedBackend",
  "blockwiseTruncatedForward",
  "telemetryInterval",
  "profileRecordShapes",
];

function trainRules(train: TrainConfig): RuleIssue[] {
  const issues: RuleIssue[] = [];
  for (const [key, value] of [
    ["adam_beta1", train.adamBeta1],
    ["adam_beta2", train.adamBeta2],
  ] as const) {
    if (value === 1)
      issues.push({ path: [key], message: "expected a decay below 1, found 1: the moment would never change" });
  }
  if (train.blockwiseAutotuneEmaDecay === 1) {
    const message = "expected a decay below 1, found 1: the smoothed loss would never change";
    issues.push({ path: ["blockwise_autotune_ema_decay"], message });
  }
  if (train.blockwiseAutotuneLrDecay > 1) {
    const message = `expected a factor of at most 1, found ${train.blockwiseAutotuneLrDecay}: the rate is lowered by it`;
    issues.push({ path: ["blockwise_autotune_lr_decay"], message });
  }
  if (train.kdWeight > 0 && train.phase !== "global") {
    const message = `expected phase: global with kd_weight, found ${train.phase}: only the global phase distils logits`;
    issues.push({ path: ["kd_weight"], message });
  }
  return issues;
}
