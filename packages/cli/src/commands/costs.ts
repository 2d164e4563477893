// What a target costs, as numbers: parameters, arithmetic, cache, and the memory to train and to serve. Counted from
// the modules and graphs that would run (variables are lazy: no weight is made). Weights, gradients, states and cache
// are exact; activations are what graph order needs (`peakLiveBytes`), an estimate: an engine may recompute or fuse.
import { type Run, runTokens, type Target } from "@caramba/config";
import {
  attentionLayers,
  cacheBytesPerElement,
  forwardFlopsPerToken,
  kvBytesPerToken,
  Model,
  parameterCount,
} from "@caramba/model";
import { crossEntropy, Graph, grad, input, mean, peakLiveBytes, reshape } from "@caramba/tensor";

/** Bytes by what they hold; `total` is their sum. */
export interface TrainMemory {
  readonly weights: number;
  /** The unchanged model that an upcycled student imitates; taken to be as large as the student. */
  readonly teacher: number;
  readonly gradients: number;
  /** First and second moments, both buffers of each. */
  readonly optimizer: number;
  /** Estimate. */
  readonly activations: number;
  readonly total: number;
}

/** Bytes while generating with one sequence at the full context, cache in fp16; weights in float32. */
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
  readonly serveBytes: ServeMemory;
  readonly runs: readonly RunCosts[];
}

const bytesPerNumber = 4;
/** States per weight. */
const optimizerStates = { adamw: 2, sgd: 0, lion: 1 } as const;

/** Counts one target. */
export function targetCosts(target: Target): TargetCosts {
  const model = new Model(target.model);
  const context = target.data.blockSize ?? target.model.blockSize ?? longestBlock(target) ?? 512;
  const kinds = Object.keys(cacheBytesPerElement) as (keyof typeof cacheBytesPerElement)[];
  const bytes = Object.fromEntries(kinds.map((kind) => [kind, kvBytesPerToken(model, kind)]));
  const seen = new Map<string, number>();
  return {
    target: target.name,
    parameters: parameterCount(model),
    context,
    forwardFlopsPerToken: forwardFlopsPerToken(model, context),
    kvBytesPerToken: bytes as TargetCosts["kvBytesPerToken"],
    serveBytes: serveMemory(model, context),
    runs: target.runs.map((run) => runCosts(run, target, model, seen)),
  };
}

function longestBlock(target: Target): number | null {
  return Math.max(0, ...target.runs.map((run) => run.train?.blockSize ?? 0)) || null;
}

function serveMemory(model: Model, context: number): ServeMemory {
  const weights = parameterCount(model) * bytesPerNumber;
  const cache = kvBytesPerToken(model, "fp16") * context;
  const activations = model.embedder
    ? peakLiveBytes(new Graph([model.forward(input("tokens", [1, context], "int32"), { lastOnly: true })]))
    : 0;
  return { weights, cache, activations, total: weights + cache + activations };
}

function runCosts(run: Run, target: Target, model: Model, seen: Map<string, number>): RunCosts {
  const { id, seed, steps, train } = run;
  if (train === null) return { id, phase: null, seed, steps: 0, tokens: 0, schedule: null, lr: null, memory: null };
  const schedule = `${train.scheduler}${train.warmupSteps > 0 ? ` after ${train.warmupSteps} warm-up steps` : ""}`;
  const tokens = runTokens(run, attentionLayers(model).length);
  const memory = model.embedder ? trainMemory(train, target, model, seen) : null;
  return { id, phase: train.phase, seed, steps, tokens, schedule, lr: train.lr, memory };
}

function trainMemory(
  train: NonNullable<Run["train"]>,
  target: Target,
  model: Model,
  seen: Map<string, number>,
): TrainMemory {
  const all = parameterCount(model);
  const blockwise = train.phase === "blockwise";
  const trained = blockwise ? Math.max(0, ...attentionLayers(model).map(({ layer }) => parameterCount(layer))) : all;
  // An update is written beside what it replaces and swapped in, so whatever is trained exists twice.
  const weights = (all + trained) * bytesPerNumber;
  const teacher = target.trainer.type === "upcycle" ? all * bytesPerNumber : 0;
  const sums = train.gradientAccumulationSteps > 1 ? 2 : 0;
  const gradients = trained * (1 + sums) * bytesPerNumber;
  const optimizer = trained * 2 * optimizerStates[train.optimizer] * bytesPerNumber;
  const key = `${blockwise} ${train.batchSize} ${train.blockSize}`;
  const activations = seen.get(key) ?? activationBytes(model, train.batchSize, train.blockSize, blockwise);
  seen.set(key, activations);
  return {
    weights,
    teacher,
    gradients,
    optimizer,
    activations,
    total: weights + teacher + gradients + optimizer + activations,
  };
}

/** Values alive at once in forward and backward pass of one batch; blockwise, with gradients of
 * the last attention layer alone.  */
function activationBytes(model: Model, batch: number, length: number, blockwise: boolean): number {
  const logits = model.forward(input("tokens", [batch, length], "int32"));
  const width = logits.shape[2] as number;
  const targets = input("targets", [batch * length], "int32");
  const loss = mean(crossEntropy(reshape(logits, [batch * length, width]), targets));
  const [first] = blockwise ? attentionLayers(model).slice(-1) : [];
  const trained = first ? first.layer.variables() : model.trainable();
  const weights = [...trained.values()].filter((v) => v.trainable).map((v) => v.tensor);
  return peakLiveBytes(new Graph([loss, ...grad(loss, weights)]));
}

const grouped = (n: number): string => Math.round(n).toLocaleString("en-US");

/** 1.5 GiB, 12 MiB. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const value = bytes / 1024 ** power;
  return `${value >= 100 || power === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[power]}`;
}

/** The costs as lines of `--print-plan`. */
export function describeCosts(costs: TargetCosts): string[] {
  const { kvBytesPerToken: kv, serveBytes: serve } = costs;
  const kinds = Object.entries(kv).map(([kind, bytes]) => `${kind}=${grouped(bytes)}`);
  return [
    `cost of ${costs.target}:`,
    `  parameters=${grouped(costs.parameters)}`,
    `  flops_per_token=${grouped(costs.forwardFlopsPerToken)} (forward, context ${costs.context})`,
    `  kv_bytes_per_token ${kinds.join(" ")} (K and V, all layers)`,
    `  serve_memory=${formatBytes(serve.total)}: weights ${formatBytes(serve.weights)}, fp16 cache of ${costs.context} tokens ${formatBytes(serve.cache)}, activations about ${formatBytes(serve.activations)}`,
    ...costs.runs.flatMap(({ id, memory: m }) =>
      m
        ? [
            `  train_memory ${id}=${formatBytes(m.total)}: weights ${formatBytes(m.weights)}, ${m.teacher > 0 ? `teacher ${formatBytes(m.teacher)}, ` : ""}gradients ${formatBytes(m.gradients)}, optimizer ${formatBytes(m.optimizer)}, activations about ${formatBytes(m.activations)}`,
          ]
        : [],
    ),
  ];
}

/** Largest memory that any part of a target needs, with what it is for. */
export function largestNeed(costs: TargetCosts): { readonly bytes: number; readonly what: string } {
  const trained = costs.runs.flatMap(({ id, memory }) =>
    memory ? [{ bytes: memory.total, what: `run ${id} of ${costs.target}` }] : [],
  );
  const served = { bytes: costs.serveBytes.total, what: `generating with ${costs.target}` };
  return trained.reduce((most, next) => (next.bytes > most.bytes ? next : most), served);
}
