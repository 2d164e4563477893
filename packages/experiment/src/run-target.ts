// One target from data to results: open text and models, surgery, runs in order, verification after each, benchmarks at
// the end. All runs of a target share one student (and one teacher).
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type BenchmarkResults, runBenchmarks } from "@caramba/benchmark";
import type { Plan, Run, Target, TrainConfig } from "@caramba/config";
import { loadTokenizer, TokenBatches } from "@caramba/data";
import { runVerification, type VerificationResult, WindowScorer } from "@caramba/eval";
import { Model } from "@caramba/model";
import { type Backend, CarambaError } from "@caramba/tensor";
import {
  attentionCovariances,
  performSurgery,
  type RunOutcome,
  RunStore,
  runTraining,
  type Validation,
} from "@caramba/trainer";
import type { ExperimentListener } from "./events.ts";
import { openText, type TargetText } from "./open-data.ts";
import { openModel } from "./open-teacher.ts";
import { type Sample, sampleCompletions } from "./samples.ts";
import { demandSupported } from "./support.ts";
import { type LoggedStep, TrainingLog } from "./training-log.ts";

/** What a target runs in. */
export interface TargetContext {
  readonly plan: Plan;
  readonly backend: Backend;
  readonly manifestPath: string | null;
  /** Folder of checkpoints and logs; a target's are below `<runsDir>/<experiment>/<target>`. */
  readonly runsDir: string;
  readonly onEvent: ExperimentListener;
  readonly signal: AbortSignal | null;
}

/** What a target leaves. */
export interface TargetResult {
  readonly target: Target;
  readonly status: "finished" | "interrupted";
  readonly folder: string;
  readonly runs: readonly { readonly run: Run; readonly outcome: RunOutcome }[];
  readonly verifications: readonly { readonly run: string; readonly result: VerificationResult }[];
  readonly benchmarks: BenchmarkResults | null;
  readonly training: readonly LoggedStep[];
  readonly samples: readonly Sample[];
  readonly teacher: Model | null;
  readonly student: Model;
  readonly teacherCheckpoint: string | null;
  readonly text: TargetText;
}

/** Runs a target to its end, or to an abort. */
export async function runTarget(target: Target, context: TargetContext): Promise<TargetResult> {
  const { plan, backend, onEvent, signal } = context;
  demandSupported(target);
  const stage = (name: "data" | "build" | "verify" | "benchmark", detail: string) =>
    onEvent({ type: "stage", stage: name, target: target.name, detail });
  stage("data", target.data.path ?? "");
  const vocabSize = vocabularyOf(target);
  const blockSize = target.data.blockSize ?? target.runs[0]?.train?.blockSize ?? 512;
  const text = await openText(target, blockSize, vocabSize, context.manifestPath);
  stage("build", target.trainer.type);
  const folder = join(context.runsDir, plan.name, target.name);
  const { student, teacher, teacherCheckpoint } = await buildModels(target, context, text);
  const log = new TrainingLog(join(folder, "train.jsonl"));
  const runs: { run: Run; outcome: RunOutcome }[] = [];
  const verifications: { run: string; result: VerificationResult }[] = [];
  const result = (status: TargetResult["status"], more: Partial<TargetResult> = {}): TargetResult => ({
    target,
    status,
    folder,
    runs,
    verifications,
    benchmarks: null,
    training: log.read(),
    samples: [],
    teacher,
    student,
    teacherCheckpoint,
    text,
    ...more,
  });
  for (const run of target.runs) {
    if (!run.train) continue;
    onEvent({ type: "stage", stage: "train", target: target.name, detail: run.id });
    const store = new RunStore(student, {
      folder,
      runId: run.id,
      phase: run.train.phase,
      seed: run.seed,
      dataHash: text.hash,
      tokenizer: text.tokenizerSpec,
      settings: settingsHash(target, run, text.hash),
    });
    const validation = await openValidation(student, backend, run.train, text);
    try {
      const outcome = await runTraining({
        model: student,
        teacher,
        backend,
        train: run.train,
        steps: run.steps,
        seed: run.seed,
        batches: batchesOf(text, run.train, run.seed, vocabSize),
        validation,
        store,
        runId: run.id,
        signal,
        onEvent: (event) => {
          log.add(event);
          onEvent({ type: "train", target: target.name, event });
        },
      });
      runs.push({ run, outcome });
      if (outcome.status === "interrupted") return result("interrupted");
    } finally {
      log.flush();
      validation?.scorer.dispose();
    }
    if (run.verify && teacher) {
      stage("verify", `${run.id}: ${run.verify.type}`);
      const tokenizer =
        run.verify.type === "eval" && run.verify.tokenizer.type === "file"
          ? await loadTokenizer(run.verify.tokenizer.path)
          : text.tokenizer;
      const verification = await runVerification(run.verify, {
        teacher,
        student,
        backend,
        windows: text.windows,
        batchSize: run.train.batchSize,
        blockSize: run.train.blockSize,
        ...(tokenizer ? { tokenizer } : {}),
      });
      verifications.push({ run: run.id, result: verification });
    }
    if (signal?.aborted) return result("interrupted");
  }
  if (target.benchmarks.length === 0) return result("finished");
  stage("benchmark", target.benchmarks.map((b) => b.id).join(", "));
  const benchmarks = await runBenchmarks(target.benchmarks, {
    models: teacher ? { teacher, student } : { student },
    backend,
    tokens: text.source,
    split: text.split,
    dataPath: target.data.path,
    seed: target.runs[0]?.seed ?? 0,
    loadCheckpoint: async (path) => (await openModel(path, context.manifestPath)).model,
    ...(signal ? { signal } : {}),
    onProgress: ({ benchmark, done, total }) =>
      onEvent({ type: "progress", stage: "benchmark", target: target.name, detail: benchmark, done, total }),
  });
  const samples = text.tokenizer ? await sampleCompletions({ teacher, student, text, backend, blockSize }) : [];
  return result("finished", { benchmarks, samples });
}

function vocabularyOf(target: Target): number {
  const { embedder } = target.model;
  if (embedder.type === "token") return embedder.vocabSize;
  throw new CarambaError(`target "${target.name}": the model has no token embedder`, {
    code: "model",
    remedy: "give model.embedder {type: token, vocab_size, d_model}",
  });
}

async function buildModels(
  target: Target,
  context: TargetContext,
  text: TargetText,
): Promise<{ student: Model; teacher: Model | null; teacherCheckpoint: string | null }> {
  const { trainer } = target;
  const student = new Model(target.model, target.runs[0]?.seed ?? 0);
  if (trainer.type === "standard") return { student, teacher: null, teacherCheckpoint: null };
  if (trainer.type === "checkpoint_compare") {
    const theirs = await openModel(trainer.teacherCkpt, context.manifestPath);
    const own = await openModel(trainer.studentCkpt, context.manifestPath);
    return { student: own.model, teacher: theirs.model, teacherCheckpoint: theirs.path };
  }
  const first = target.runs.find((run) => run.train)?.train;
  const checkpoint = first?.teacherCkpt ?? null;
  if (!first || checkpoint === null)
    throw new CarambaError(`target "${target.name}": an upcycle needs train.teacher_ckpt in its first run`, {
      code: "teacher",
      remedy: "name a Caramba checkpoint or a Hugging Face folder",
    });
  const { model: teacher, path } = await openModel(checkpoint, context.manifestPath);
  await checkTeacher(teacher, first, target, context.backend, text);
  const batches = batchesOf(text, first, target.runs[0]?.seed ?? 0, vocabularyOf(target));
  await performSurgery(teacher, student, {
    init: first.dbaInit === "random" ? "random" : "svd",
    covariances: await attentionCovariances(teacher, context.backend, batches, 4),
  });
  return { student, teacher, teacherCheckpoint: path };
}

/** A teacher that does not know the text was probably made with another tokenizer: said before hours of training. */
async function checkTeacher(
  teacher: Model,
  train: TrainConfig,
  target: Target,
  backend: Backend,
  text: TargetText,
): Promise<void> {
  if (teacher.vocabSize !== vocabularyOf(target))
    throw new CarambaError(
      `the teacher has a vocabulary of ${teacher.vocabSize}, target "${target.name}" one of ${vocabularyOf(target)}`,
      { code: "teacher", remedy: "set vocab_size to the teacher's" },
    );
  if (!train.teacherSanityCheck) return;
  const batchSize = train.teacherSanityBatchSize;
  const { tokens, targets } = text.windows({
    blockSize: train.blockSize,
    count: train.teacherSanityBatches * batchSize,
    split: "auto",
  });
  const scorer = await WindowScorer.open(teacher, { backend, batchSize, blockSize: train.blockSize });
  const sums = await scorer.scoreWindows(tokens, targets);
  scorer.dispose();
  const nll = sums.reduce((a, b) => a + b, 0) / tokens.length;
  const perplexity = Math.exp(nll);
  if (nll <= train.teacherSanityMaxNll && perplexity <= train.teacherSanityMaxPpl) return;
  throw new CarambaError(
    `the teacher's perplexity on ${text.path} is ${perplexity.toPrecision(4)} (${nll.toFixed(3)} nats), above teacher_sanity_max_ppl ${train.teacherSanityMaxPpl}`,
    {
      code: "teacher-sanity",
      remedy: "prepare the text with the teacher's tokenizer, or raise teacher_sanity_max_ppl if it is a weak teacher",
    },
  );
}

function batchesOf(text: TargetText, train: TrainConfig, seed: number, vocabSize: number): TokenBatches {
  const { batchSize, blockSize } = train;
  return new TokenBatches({ source: text.source, range: text.split.train, blockSize, batchSize, seed, vocabSize });
}

async function openValidation(
  model: Model,
  backend: Backend,
  train: TrainConfig,
  text: TargetText,
): Promise<Validation | null> {
  if (!text.split.val || train.phase === "blockwise" || train.evalIters === 0) return null;
  const { batchSize, blockSize, evalBatches } = train;
  const windows = text.windows({ blockSize, count: evalBatches * batchSize, split: "val" });
  return { ...windows, scorer: await WindowScorer.open(model, { backend, batchSize, blockSize }) };
}

/** Whatever changes a run's result: its own settings, the model, the data, and the runs before it. */
function settingsHash(target: Target, run: Run, dataHash: string): string {
  const before = target.runs.slice(0, target.runs.indexOf(run) + 1);
  const relevant = before.map(({ id, seed, steps, train }) => ({ id, seed, steps, train: train && settingsOf(train) }));
  return createHash("sha256")
    .update(JSON.stringify({ relevant, model: target.model, data: target.data.valFrac, dataHash }))
    .digest("hex");
}

/** Settings without those that only say how often to save or where to compute. */
function settingsOf(train: TrainConfig): Partial<TrainConfig> {
  const { saveEvery, evalIters, evalBatches, device, autoResume, skipIfFinal, ...rest } = train;
  return rest;
}
