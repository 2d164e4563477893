// Blockwise distillation: attention layers are trained one after another to give what the teacher's give,
//   loss_i = mean | teacher attention_i - student attention_i |,
// the student's layer i fed with what the student's own earlier layers produce. While block i is trained everything
// before it is frozen, so for a fixed pool of batches both its input and its target are constants: they are computed
// once per block and read from this cache at every step, and a step runs one attention layer, not two models. With
// `blockwise_distill_target: residual` the output of the residual branch around the layer is imitated instead, x + f(x).
import type { AttentionLayer, Module } from "@caramba/layers";
import { restore } from "@caramba/loader";
import { attentionLayers, type Model, traceOutputs } from "@caramba/model";
import {
  abs,
  CarambaError,
  compile,
  type Dim,
  type HostArray,
  input,
  mean,
  type Program,
  sub,
  type Tensor,
  type Variable,
  withScope,
} from "@caramba/tensor";
import { type AutotuneState, autotuneMetrics, beginBlock, observeLoss, watchesLoss } from "./autotune.ts";
import { breathe } from "./events.ts";
import type { RunStore } from "./persistence.ts";
import type { RunContext, RunOutcome } from "./run-language.ts";
import { learningRateFactor } from "./schedule.ts";
import { TrainStep } from "./train-step.ts";

/** Use of the cache of block inputs and teacher outputs. */
export interface TeacherCacheStats {
  /** Steps served from the cache. */
  readonly hits: number;
  /** Batches that were computed. */
  readonly misses: number;
}

/** Outcome of blockwise distillation. */
export interface BlockwiseOutcome extends RunOutcome {
  readonly cache: TeacherCacheStats;
  /** Loss at the first and last step of every block trained in this call. */
  readonly blocks: readonly { readonly index: number; readonly firstLoss: number; readonly lastLoss: number }[];
}

interface Sample {
  readonly x: HostArray;
  readonly target: HostArray;
}

/** One attention layer, and the module whose output is to become the teacher's: itself or the branch around it. */
interface Block {
  readonly layer: AttentionLayer;
  readonly path: string;
  readonly module: Module;
}

function blocksOf(model: Model, target: "attention" | "residual"): Block[] {
  const branches = model.modules().filter(({ module }) => module.type === "ResidualTopology");
  return attentionLayers(model).map(({ path, layer }) => {
    if (target === "attention") return { layer, path, module: layer };
    // Modules come outermost first.
    const around = branches.filter((branch) => path.startsWith(`${branch.path}.`)).at(-1);
    if (!around)
      throw new CarambaError(`blockwise_distill_target residual: no ResidualTopology is around the layer ${path}`, {
        code: "topology",
        remedy: "set blockwise_distill_target: attention",
      });
    return { layer, ...around };
  });
}

/** Where a module's input and output are in the graph of a model. */
function traceOf(model: Model, tokens: Tensor, { module, path }: Block) {
  const [only, ...more] = traceOutputs(model, tokens, (_, m) => m === module);
  if (!only) throw new CarambaError(`${path} is no part of the model`, { code: "internal" });
  if (more.length > 0)
    throw new CarambaError(`blockwise distillation: ${path} is applied ${more.length + 1} times in one pass`, {
      code: "topology",
      remedy: "distil it in the global phase (kd_weight), or write the layers out",
    });
  return only;
}

/** Input of the student's block and output of the teacher's, for pool batches, computed on demand. */
class BlockCache {
  hits = 0;
  misses = 0;
  readonly #samples = new Map<number, Sample>();
  readonly #program: Program;
  readonly #context: RunContext;
  readonly #limit: number;
  /** Of an input, and of an output. */
  readonly shapes: { readonly x: readonly Dim[]; readonly target: readonly Dim[] };

  private constructor(program: Program, context: RunContext, shapes: BlockCache["shapes"]) {
    this.#program = program;
    this.shapes = shapes;
    this.#context = context;
    this.#limit = context.train.cacheTeacherOutputs ? context.train.blockwiseTeacherCacheMaxSize : 0;
  }

  static async open(own: Block, theirs: Block, context: RunContext, teacher: Model): Promise<BlockCache> {
    const { model, backend, train } = context;
    const tokens = input("tokens", [train.batchSize, train.blockSize], "int32");
    const x = traceOf(model, tokens, own).input;
    const target = traceOf(teacher, tokens, theirs).output;
    const shapes = { x: x.shape, target: target.shape };
    return new BlockCache(await compile({ outputs: { x, target } }, { backend }), context, shapes);
  }

  /** The pool has as many batches as the cache holds; micro step n uses batch n modulo that. */
  async at(step: number): Promise<Sample> {
    const pool = Math.max(1, this.#context.train.blockwiseTeacherCacheMaxSize);
    const key = step % pool;
    const found = this.#samples.get(key);
    if (found) {
      this.hits++;
      return found;
    }
    this.misses++;
    const { tokens } = this.#context.batches.batchAt(key);
    const { x, target } = await this.#program.read({ tokens });
    const sample = { x: x as HostArray, target: target as HostArray };
    if (this.#samples.size < this.#limit) this.#samples.set(key, sample);
    return sample;
  }

  dispose(): void {
    this.#program.dispose();
    this.#samples.clear();
  }
}

/** Trains every attention layer of the student against the teacher's. */
export async function runBlockwise(context: RunContext): Promise<BlockwiseOutcome> {
  const { model, teacher, train, steps, store } = context;
  if (!teacher)
    throw new CarambaError(`run "${context.runId}": blockwise distillation needs a teacher`, {
      code: "teacher",
      remedy: "set train.teacher_ckpt",
    });
  const [layers, theirs] = [model, teacher].map((m) => blocksOf(m, train.blockwiseDistillTarget)) as [Block[], Block[]];
  if (layers.length !== theirs.length)
    throw new CarambaError(`the student has ${layers.length} attention layers, the teacher ${theirs.length}`, {
      code: "teacher",
      remedy: "give both the same topology",
    });
  const restored = (await store?.begin(train)) ?? null;
  const perBlock = train.convergenceTarget === null ? steps : train.convergenceMaxSteps;
  const total = perBlock * layers.length;
  const stats = { hits: 0, misses: 0 };
  const blocks: { index: number; firstLoss: number; lastLoss: number }[] = [];
  const ended = (status: RunOutcome["status"], step: number): BlockwiseOutcome => ({
    status,
    step,
    finalLoss: blocks[blocks.length - 1]?.lastLoss ?? null,
    resumedFrom: restored?.step ?? 0,
    cache: stats,
    blocks,
  });
  if (restored?.final) return ended("skipped", restored.step);
  const firstBlock = restored?.blockIndex ?? 0;
  let done = restored?.step ?? 0;
  let autotune = restored?.autotune ?? null;
  for (let index = firstBlock; index < layers.length; index++) {
    const resumed = index === firstBlock ? restored : null;
    const pair = { own: layers[index] as Block, theirs: theirs[index] as Block, teacher };
    const result = await trainBlock(context, pair, index, { done, total, autotune }, resumed);
    stats.hits += result.hits;
    stats.misses += result.misses;
    done = result.done;
    autotune = result.autotune;
    if (result.firstLoss !== null && result.lastLoss !== null)
      blocks.push({ index, firstLoss: result.firstLoss, lastLoss: result.lastLoss });
    if (result.interrupted) return ended("interrupted", done);
    if (index + 1 < layers.length)
      await store?.save({ step: done, blockIndex: index + 1, blockStep: 0, final: false, autotune }, null);
  }
  await store?.save({ step: done, blockIndex: null, blockStep: null, final: true }, null);
  return ended("finished", done);
}

interface BlockResult {
  readonly done: number;
  readonly autotune: AutotuneState | null;
  readonly interrupted: boolean;
  readonly firstLoss: number | null;
  readonly lastLoss: number | null;
  readonly hits: number;
  readonly misses: number;
}

async function trainBlock(
  context: RunContext,
  { own, theirs, teacher }: { readonly own: Block; readonly theirs: Block; readonly teacher: Model },
  index: number,
  before: { readonly done: number; readonly total: number; readonly autotune: AutotuneState | null },
  resumed: Awaited<ReturnType<RunStore["begin"]>>,
): Promise<BlockResult> {
  const { backend, train, steps, seed, store, signal } = context;
  const { total } = before;
  const { layer, module, path } = own;
  const cache = await BlockCache.open(own, theirs, context, teacher);
  const x = input("x", cache.shapes.x);
  const target = input("target", cache.shapes.target);
  const output: Tensor = withScope(path, () => module.forward(x, { training: true }));
  const parameters = new Map<string, Variable>();
  for (const variable of layer.variables().values()) if (variable.trainable) parameters.set(variable.name, variable);
  const step = await TrainStep.compile({
    backend,
    loss: mean(abs(sub(output, target))),
    parameters,
    settings: train,
    clipNorm: train.blockwiseGradClipNorm,
  });
  if (resumed?.optimizer) {
    restore(step.optimizer.m, resumed.optimizer.m, resumed.path);
    restore(step.optimizer.v, resumed.optimizer.v, resumed.path);
  }
  const converging = train.convergenceTarget !== null;
  const limit = converging ? train.convergenceMaxSteps : steps;
  const saveEvery = train.saveEvery ?? 100;
  const micros = train.gradientAccumulationSteps;
  const tokensPerStep = micros * train.batchSize * train.blockSize;
  let [best, sinceBest] = [Number.POSITIVE_INFINITY, 0];
  let firstLoss: number | null = null;
  let lastLoss: number | null = null;
  let done = before.done;
  const watched = watchesLoss(train);
  // Half a block's losses count on, those of the block before do not.
  let autotune = watched
    ? ((resumed?.blockStep ? resumed.autotune : null) ?? beginBlock(before.autotune, train))
    : null;
  const result = (interrupted: boolean): BlockResult => ({
    done,
    autotune,
    interrupted,
    firstLoss,
    lastLoss,
    hits: cache.hits,
    misses: cache.misses,
  });
  try {
    for (let n = resumed?.blockStep ?? 0; n < limit; n++) {
      const start = performance.now();
      const samples: Sample[] = [];
      for (let k = 0; k < micros; k++) samples.push(await cache.at(n * micros + k));
      const horizon = train.blockwiseResetLrEachBlock ? { at: n, of: limit } : { at: done, of: total };
      const lr = (autotune?.rate ?? train.lr) * learningRateFactor(horizon.at, { ...train, totalSteps: horizon.of });
      const feeds = samples.map(({ x, target }) => ({ x, target }));
      const report = await step.run(feeds, { step: n, lr, seed });
      done++;
      firstLoss ??= report.loss;
      lastLoss = report.loss;
      const observed = autotune && observeLoss(autotune, report.loss, train);
      autotune = observed?.state ?? null;
      context.onEvent({
        runId: context.runId,
        phase: train.phase,
        step: done,
        totalSteps: total,
        loss: report.loss,
        lr,
        tokensPerSecond: (tokensPerStep * 1000) / (performance.now() - start),
        gradNorm: report.gradNorm,
        valLoss: null,
        blockIndex: index,
        metrics: observed ? autotuneMetrics(observed.state, observed.event, train) : {},
      });
      await breathe();
      const converged = converging && report.loss <= (train.convergenceTarget ?? 0);
      sinceBest = report.loss < best ? 0 : sinceBest + 1;
      best = Math.min(best, report.loss);
      if (converged || (converging && sinceBest >= train.convergencePatience)) break;
      const progress = { step: done, blockIndex: index, blockStep: n + 1, final: false, autotune };
      if (signal?.aborted && n + 1 < limit) {
        // While converging, patience counts from the block's start: such a block is begun anew.
        if (!converging) await store?.save(progress, step.optimizer);
        return result(true);
      }
      if (done % saveEvery === 0 && n + 1 < limit && !converging) await store?.save(progress, step.optimizer);
    }
    return result(false);
  } finally {
    step.dispose();
    cache.dispose();
    for (const parameter of parameters.values()) parameter.releaseSpare();
  }
}
