// The models of a target: fresh for training from scratch, loaded for a comparison, and for an upcycle a teacher that
// is checked against the text before the student is factored from it.
import { statSync } from "node:fs";
import { totalmem } from "node:os";
import { frozenParameters, modelParameters, type Target, type TrainConfig } from "@caramba/config";
import { WindowScorer } from "@caramba/eval";
import type { HubOptions } from "@caramba/loader";
import { Model } from "@caramba/model";
import { type Backend, CarambaError } from "@caramba/tensor";
import { attentionCovariances, performSurgery } from "@caramba/trainer";
import type { ExperimentListener } from "./events.ts";
import { fillModel } from "./fill-model.ts";
import { sha256, type TargetText } from "./open-data.ts";
import { openModel } from "./open-teacher.ts";
import { batchesOf } from "./train-run.ts";

/** What models are built in. */
export interface BuildContext {
  readonly backend: Backend;
  readonly manifestPath: string | null;
  readonly signal: AbortSignal | null;
  readonly onEvent: ExperimentListener;
  readonly hub?: HubOptions;
}

/** Number of ids of the target's model. @throws CarambaError `model` where it embeds no tokens. */
export function vocabularyOf(target: Target): number {
  const { embedder } = target.model;
  if (embedder.type === "token") return embedder.vocabSize;
  throw new CarambaError(`target "${target.name}": the model has no token embedder`, {
    code: "model",
    remedy: "give model.embedder {type: token, vocab_size, d_model}",
  });
}

/** The models of a target. */
export interface TargetModels {
  readonly student: Model;
  readonly teacher: Model | null;
  readonly teacherCheckpoint: string | null;
  /** Identifies the weights that the student was made from: a file's sha256, a commit on the Hub, or a folder's path. */
  readonly teacherHash: string | null;
}

/** Student, and for an upcycle the teacher with the student factored from it. Stops between its parts when aborted. */
export async function buildModels(target: Target, context: BuildContext, text: TargetText): Promise<TargetModels> {
  const { trainer } = target;
  demandMemory(target);
  const { manifestPath, onEvent, signal } = context;
  const hubOptions = { onEvent, signal, target: target.name, ...(context.hub ? { hub: context.hub } : {}) };
  const open = (checkpoint: string) => openModel(checkpoint, manifestPath, hubOptions);
  const student = new Model(target.model, target.runs[0]?.seed ?? 0);
  const first = target.runs.find((run) => run.train)?.train;
  if (trainer.type === "standard") {
    const init = first?.initCkpt ?? null;
    const filled = init === null ? null : await fillModel(student, init, manifestPath, hubOptions);
    const teacherHash = filled && (await identityOf(filled, signal));
    return { student, teacher: null, teacherCheckpoint: null, teacherHash };
  }
  if (trainer.type === "checkpoint_compare") {
    const theirs = await open(trainer.teacherCkpt);
    const own = await open(trainer.studentCkpt);
    const teacherCheckpoint = theirs.source ?? theirs.path;
    return { student: own.model, teacher: theirs.model, teacherCheckpoint, teacherHash: null };
  }
  const checkpoint = first?.teacherCkpt ?? null;
  if (!first || checkpoint === null)
    throw new CarambaError(`target "${target.name}": an upcycle needs train.teacher_ckpt in its first run`, {
      code: "teacher",
      remedy: "name a Caramba checkpoint, a Hugging Face folder, or hf://org/name",
    });
  const { model: teacher, path, source } = await open(checkpoint);
  context.signal?.throwIfAborted();
  await checkTeacher(teacher, first, target, context.backend, text);
  context.signal?.throwIfAborted();
  const batches = batchesOf(text, first, target.runs[0]?.seed ?? 0, vocabularyOf(target));
  await performSurgery(teacher, student, {
    init: first.dbaInit === "random" ? "random" : "svd",
    covariances: await attentionCovariances(teacher, context.backend, batches, 4),
  });
  const teacherHash = await identityOf({ path, source }, signal);
  return { student, teacher, teacherCheckpoint: source ?? path, teacherHash };
}

async function identityOf(
  { path, source }: { readonly path: string; readonly source: string | null },
  signal: AbortSignal | null,
): Promise<string> {
  return source ?? (statSync(path).isDirectory() ? path : sha256(path, signal));
}

/** Weights that are larger than the machine's memory are refused before anything is allocated. */
function demandMemory(target: Target): void {
  const need = 4 * (modelParameters(target.model) + frozenParameters(target.model));
  const have = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  if (need <= have) return;
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw new CarambaError(
    `target "${target.name}": the weights alone take ${gib(need)}, and this machine has ${gib(have)} of memory`,
    { code: "out-of-memory", remedy: "make the model smaller, or run on a larger machine" },
  );
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
