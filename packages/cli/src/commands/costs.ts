// What a target costs, as numbers: parameters, arithmetic, cache, and the memory to train and to serve. Counted from
// the modules and graphs that would run (variables are lazy: no weight is made). Weights, gradients, states and cache
// are exact; activations are what graph order needs (`peakLiveBytes`), an estimate: an engine may recompute or fuse.
import {
  frozenParameters,
  modelParameters,
  type Run,
  runTokens,
  type Target,
  type TrainConfig,
  teacherConfig,
} from "@caramba/config";
import {
  attentionLayers,
  cacheBytes,
  cacheBytesPerElement,
  kvElementsPerToken,
  Model,
  parameterCount,
  stateBytes,
} from "@caramba/model";
import { Passes } from "./passes.ts";

/** Bytes by what they hold; `total` is their sum. */
export interface TrainMemory {
  readonly weights: number;
  /** The unchanged model that an upcycled student imitates: its own model with standard attention. */
  readonly teacher: number;
  readonly gradients: number;
  /** First and second moments, both buffers of each. */
  readonly optimizer: number;
  /** Estimate. */
  readonly activations: number;
  /** Blockwise: what enters and what should leave a layer, for a pool of batches. */
  readonly cache: number;
  readonly total: number;
}

/** Bytes while generating with one sequence at the full context, cache in fp16; weights and states in float32. */
export interface ServeMemory {
  readonly weights: number;
  readonly cache: number;
  /** Estimate: reading a whole context at once. */
  readonly activations: number;
  readonly total: number;
}

/** One run as data. */
export interface RunCosts {
  readonly id: string;
  readonly phase: string | null;
  readonly seed: number;
  /** Optimizer steps; of one block where `phase` is blockwise. */
  readonly steps: number;
  readonly tokens: number;
  readonly schedule: string | null;
  readonly lr: number | null;
  readonly memory: TrainMemory | null;
}

/** Everything `compile` knows about a target without weights. */
export interface TargetCosts {
  readonly target: string;
  readonly parameters: number;
  readonly context: number;
  readonly forwardFlopsPerToken: number;
  readonly kvBytesPerToken: Readonly<Record<keyof typeof cacheBytesPerElement, number>>;
  /** Of recurrent layers, per sequence, whatever its length. */
  readonly stateBytes: number;
  readonly serveBytes: ServeMemory;
  readonly runs: readonly RunCosts[];
}

const bytesPerNumber = 4;
/** States per weight. */
const optimizerStates = { adamw: 2, sgd: 0, lion: 1 } as const;

/** Counts one target. */
export async function targetCosts(target: Target): Promise<TargetCosts> {
  const model = new Model(target.model);
  const context = target.data.blockSize ?? target.model.blockSize ?? longestBlock(target) ?? 512;
  const kinds = Object.keys(cacheBytesPerElement) as (keyof typeof cacheBytesPerElement)[];
  // Counted once: every count is a forward pass over the graph.
  const { total: numbers } = kvElementsPerToken(model);
  const bytes = Object.fromEntries(kinds.map((kind) => [kind, numbers * cacheBytesPerElement[kind]]));
  const passes = new Passes(target.model);
  const runs: RunCosts[] = [];
  for (const run of target.runs) runs.push(await runCosts(run, target, model, passes));
  return {
    target: target.name,
    parameters: parameterCount(model),
    context,
    forwardFlopsPerToken: passes.flopsPerToken(context),
    kvBytesPerToken: bytes as TargetCosts["kvBytesPerToken"],
    stateBytes: stateBytes(model),
    serveBytes: serveMemory(model, context, passes),
    runs,
  };
}

function longestBlock(target: Target): number | null {
  return Math.max(0, ...target.runs.map((run) => run.train?.blockSize ?? 0)) || null;
}

/** Numbers of a model's weights, trained and frozen. */
const weightCount = (model: Model): number => parameterCount(model) + frozenParameters(model.config);

function serveMemory(model: Model, context: number, passes: Passes): ServeMemory {
  const weights = weightCount(model) * bytesPerNumber;
  const cache = cacheBytes(model, context, "fp16");
  const activations = passes.prefillBytes(context);
  return { weights, cache, activations, total: weights + cache + activations };
}

async function runCosts(run: Run, target: Target, model: Model, passes: Passes): Promise<RunCosts> {
  const { id, seed, steps, train } = run;
  if (train === null) return { id, phase: null, seed, steps: 0, tokens: 0, schedule: null, lr: null, memory: null };
  const schedule = `${train.scheduler}${train.warmupSteps > 0 ? ` after ${train.warmupSteps} warm-up steps` : ""}`;
  const tokens = runTokens(run, attentionLayers(model).length);
  const memory = model.embedder ? await trainMemory(run, train, target, model, passes) : null;
  return { id, phase: train.phase, seed, steps, tokens, schedule, lr: train.lr, memory };
}

async function trainMemory(
  { steps }: Run,
  train: TrainConfig,
  target: Target,
  model: Model,
  passes: Passes,
): Promise<TrainMemory> {
  const all = weightCount(model);
  const blockwise = train.phase === "blockwise";
  const trained = blockwise
    ? Math.max(0, ...attentionLayers(model).map(({ layer }) => parameterCount(layer)))
    : parameterCount(model);
  // An update is written beside what it replaces and swapped in, so whatever is trained exists twice.
  const weights = (all + trained) * bytesPerNumber;
  const teacher = target.trainer.type === "upcycle" ? teacherParameters(target) * bytesPerNumber : 0;
  const sums = train.gradientAccumulationSteps > 1 ? 2 : 0;
  const gradients = trained * (1 + sums) * bytesPerNumber;
  const optimizer = trained * 2 * optimizerStates[train.optimizer] * bytesPerNumber;
  const activations = await passes.trainBytes(train);
  const cache = passes.keptBytes(train, steps);
  const total = weights + teacher + gradients + optimizer + activations + cache;
  return { weights, teacher, gradients, optimizer, activations, cache, total };
}

/** Numbers of the teacher that an upcycle's student implies. */
function teacherParameters({ model }: Target): number {
  const teacher = teacherConfig(model);
  return modelParameters(teacher) + frozenParameters(teacher);
}
