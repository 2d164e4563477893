// One target from data to results: open text and models, surgery, runs in order, verification after each, benchmarks at
// the end. All runs of a target share one student (and one teacher).
import { join } from "node:path";
import { type BenchmarkResults, runBenchmarks } from "@caramba/benchmark";
import type { Plan, Run, Target, VerifyConfig } from "@caramba/config";
import { type Tokenizer, tiktokenEncodings } from "@caramba/data";
import { runVerification, type VerificationResult } from "@caramba/eval";
import { claimFolder } from "@caramba/files";
import type { HubOptions } from "@caramba/loader";
import type { Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";
import type { RunOutcome } from "@caramba/trainer";
import { buildModels, vocabularyOf } from "./build-models.ts";
import { checkNeeds } from "./check-needs.ts";
import type { ExperimentListener } from "./events.ts";
import { openText, type TargetText } from "./open-data.ts";
import { openModel } from "./open-teacher.ts";
import { isOffline, openTokenizer } from "./open-tokenizer.ts";
import { type Sample, sampleCompletions } from "./samples.ts";
import { demandSupportedPlan } from "./support.ts";
import { trainRun } from "./train-run.ts";
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
  /** How the Hub is reached; default: as the environment says. */
  readonly hub?: HubOptions;
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

/**
 * Runs a target to its end. Once its models are built an abort gives what there is, `interrupted`.
 * @throws the signal's reason when it is aborted before; CarambaError `folder-in-use` while another process runs it.
 */
export async function runTarget(target: Target, context: TargetContext): Promise<TargetResult> {
  const { plan, backend, onEvent, signal } = context;
  demandSupportedPlan(plan, [target]);
  const stage = (name: "data" | "build" | "verify" | "benchmark", detail: string) =>
    onEvent({ type: "stage", stage: name, target: target.name, detail });
  stage("data", target.data.path ?? "");
  const vocabSize = vocabularyOf(target);
  const blockSize = target.data.blockSize ?? target.runs[0]?.train?.blockSize ?? 512;
  const hub = context.hub ? { hub: context.hub } : {};
  const text = await openText(target, blockSize, vocabSize, context.manifestPath, signal, { onEvent, ...hub });
  if (!text.tokenizer)
    onEvent({ type: "note", message: `the tokenizer ${text.tokenizerSpec} is not at hand: no sample texts` });
  const folder = join(context.runsDir, plan.name, target.name);
  let release: (() => Promise<void>) | null = null;
  try {
    checkNeeds(target, text, blockSize, context.manifestPath);
    // Two processes in one folder would take each other's checkpoints for their own.
    release = await claimFolder(folder);
    const tokenizers = await verifyTokenizers(target, text, context);
    stage("build", target.trainer.type);
    const { student, teacher, teacherCheckpoint, teacherHash } = await buildModels(target, context, text);
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
      if (run.train) {
        const outcome = await trainRun(run, run.train, {
          ...{ target, student, teacher, teacherHash, backend, text, vocabSize, folder, log, onEvent, signal },
        });
        runs.push({ run, outcome });
        if (outcome.status === "interrupted") return result("interrupted");
      }
      if (signal?.aborted) return result("interrupted");
      if (!run.verify || !teacher) continue;
      stage("verify", `${run.id}: ${run.verify.type}`);
      const tokenizer = tokenizers.get(run.id);
      const verification = await runVerification(run.verify, {
        teacher,
        student,
        backend,
        windows: text.windows,
        batchSize: run.train?.batchSize ?? 1,
        blockSize: run.train?.blockSize ?? blockSize,
        ...(tokenizer ? { tokenizer } : {}),
      });
      verifications.push({ run: run.id, result: verification });
    }
    if (signal?.aborted) return result("interrupted");
    if (target.benchmarks.length === 0) return result("finished");
    stage("benchmark", target.benchmarks.map((b) => b.id).join(", "));
    try {
      const benchmarks = await runBenchmarks(target.benchmarks, {
        models: teacher ? { teacher, student } : { student },
        backend,
        tokens: text.source,
        split: text.split,
        dataPath: target.data.path,
        seed: target.runs[0]?.seed ?? 0,
        loadCheckpoint: async (path) =>
          (await openModel(path, context.manifestPath, { onEvent, signal, target: target.name, ...hub })).model,
        ...(signal ? { signal } : {}),
        onProgress: ({ benchmark, done, total }) =>
          onEvent({ type: "progress", stage: "benchmark", target: target.name, detail: benchmark, done, total }),
      });
      for (const message of benchmarks.warnings) onEvent({ type: "note", message });
      signal?.throwIfAborted();
      const onNote = (message: string) => onEvent({ type: "note", message });
      const samples = text.tokenizer
        ? await sampleCompletions({ teacher, student, text, backend, blockSize, onNote })
        : [];
      return result("finished", { benchmarks, samples });
    } catch (error) {
      if (signal?.aborted && error === signal.reason) return result("interrupted");
      throw error;
    }
  } finally {
    await release?.();
    text.source.close();
  }
}

/**
 * The tokenizers of verifications, by run, found before anything is trained: what a config names where that is at hand,
 * else, and said so, the text's own; a model's (`type: llama`) from the cache of the Hub, or fetched where the text has
 * none.
 */
async function verifyTokenizers(
  { name: target, runs }: Target,
  text: TargetText,
  { manifestPath, onEvent, signal, hub = {} }: TargetContext,
): Promise<ReadonlyMap<string, Tokenizer>> {
  const found = new Map<string, Tokenizer>();
  const open = (name: string, more: HubOptions = {}): Promise<Tokenizer> =>
    openTokenizer(name, manifestPath, { onEvent, target, signal, hub: { ...hub, ...more } });
  for (const { id, verify } of runs) {
    if (!verify) continue;
    const tokenizer = await tokenizerOf(verify, text, open, onEvent);
    if (tokenizer) found.set(id, tokenizer);
  }
  return found;
}

async function tokenizerOf(
  verify: VerifyConfig,
  text: TargetText,
  open: (name: string, hub?: HubOptions) => Promise<Tokenizer>,
  onEvent: ExperimentListener,
): Promise<Tokenizer | null> {
  const named = verify.type === "eval" ? verify.tokenizer : null;
  if (named?.type === "file") return open(named.path);
  if (named?.type === "byte") return open("byte");
  if (named?.type === "tiktoken" && tiktokenEncodings.includes(named.encoding))
    return open(`tiktoken:${named.encoding}`);
  if (named?.type === "llama") {
    const name = `hf://${named.modelId}`;
    if (!text.tokenizer) return open(name);
    const cached = await open(name, { offline: true }).catch((error) => {
      if (isOffline(error)) return null;
      throw error;
    });
    if (cached) return cached;
  }
  if (named && text.tokenizer) {
    const name = named.type === "llama" ? named.modelId : named.encoding;
    onEvent({ type: "note", message: `the cases are encoded with ${text.tokenizer.name}; ${name} is not at hand` });
  }
  return text.tokenizer;
}
