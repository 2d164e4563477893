// Everything that a run needs, looked for without running: the engine, the text, the teacher, room on the disk. Nothing
// is written and no weight is made. All that is missing is told at once.
import { existsSync, statfsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import {
  frozenParameters,
  modelParameters,
  type NodeConfig,
  type Plan,
  sumLayers,
  type Target,
  type TrainConfig,
} from "@caramba/config";
import { isHubUri, openCheckpoint, parseHubId } from "@caramba/loader";
import { CarambaError, openBackend } from "@caramba/tensor";
import { vocabularyOf } from "./build-models.ts";
import { checkNeeds } from "./check-needs.ts";
import { deviceOf, targetFolder } from "./choose.ts";
import { findPath } from "./find-path.ts";
import { openText } from "./open-data.ts";
import { isWeightsAlone, withoutConfig } from "./open-teacher.ts";

/** One thing that was looked for. */
export interface DryRunCheck {
  /** Null for what all targets share. */
  readonly target: string | null;
  readonly what: "device" | "data" | "teacher" | "disk";
  readonly ok: boolean;
  /** What was found, or what is wrong. */
  readonly detail: string;
  /** How to mend it. */
  readonly remedy?: string;
}

/** What a dry run looks at. */
export interface DryRunOptions {
  readonly manifestPath: string | null;
  readonly runsDir: string;
  readonly device?: string;
  readonly signal?: AbortSignal;
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

/** Looks for everything that targets need, in order; a target may use what an earlier one makes. */
export async function dryRun(
  plan: Plan,
  targets: readonly Target[],
  options: DryRunOptions,
): Promise<readonly DryRunCheck[]> {
  const checks: DryRunCheck[] = [];
  const look = async (target: string | null, what: DryRunCheck["what"], find: () => Promise<string>): Promise<void> => {
    try {
      checks.push({ target, what, ok: true, detail: await find() });
    } catch (error) {
      const { code, message, remedy } = error as CarambaError;
      if (typeof code !== "string" || options.signal?.aborted) throw error;
      checks.push({ target, what, ok: false, detail: message, ...(remedy === undefined ? {} : { remedy }) });
    }
  };
  await look(null, "device", async () => {
    const backend = await openBackend(deviceOf(targets, options.device));
    await backend.close();
    return backend.name;
  });
  const made = new Map<string, string>();
  for (const target of targets) {
    await look(target.name, "data", () => findText(target, options));
    for (const checkpoint of checkpointsOf(target))
      await look(target.name, "teacher", () => findCheckpoint(checkpoint, target, options, made));
    const folder = targetFolder(options.runsDir, plan, target);
    for (const { id, train } of target.runs)
      if (train) made.set(resolve(folder, `${id}_${train.phase}_final.safetensors`), target.name);
  }
  await look(null, "disk", async () => findRoom(plan, targets, options.runsDir));
  return checks;
}

async function findText(target: Target, { manifestPath, signal }: DryRunOptions): Promise<string> {
  const blockSize = target.data.blockSize ?? target.runs[0]?.train?.blockSize ?? 512;
  const text = await openText(target, blockSize, vocabularyOf(target), manifestPath, signal ?? null, {
    fetch: false,
  });
  try {
    checkNeeds(target, text, blockSize, manifestPath);
    const tokenizer = text.tokenizer
      ? text.tokenizerSpec
      : isHubUri(text.tokenizerSpec)
        ? `${text.tokenizerSpec}: fetched from the Hugging Face Hub by the run`
        : `${text.tokenizerSpec}, which is not at hand: no sample texts`;
    return `${text.path}: ${text.source.length} tokens, tokenizer ${tokenizer}`;
  } finally {
    text.source.close();
  }
}

function checkpointsOf({ trainer, runs }: Target): readonly string[] {
  if (trainer.type === "checkpoint_compare") return [trainer.teacherCkpt, trainer.studentCkpt];
  const first = runs.find((run) => run.train)?.train;
  const checkpoint = trainer.type === "upcycle" ? first?.teacherCkpt : first?.initCkpt;
  return checkpoint ? [checkpoint] : [];
}

async function findCheckpoint(
  checkpoint: string,
  target: Target,
  { manifestPath }: DryRunOptions,
  made: ReadonlyMap<string, string>,
): Promise<string> {
  const fromHub = `${checkpoint}: fetched from the Hugging Face Hub, or from its cache, by the run`;
  if (isHubUri(checkpoint)) return fromHub;
  const path = findPath(checkpoint, manifestPath);
  const maker = made.get(resolve(checkpoint));
  if (!path && maker !== undefined) return `${checkpoint}: made by target ${maker} before`;
  if (!path && parseHubId(checkpoint)) return fromHub;
  if (!path)
    throw new CarambaError(`the checkpoint ${checkpoint} does not exist`, {
      code: "missing-file",
      remedy: "train it first (run the target that makes it, or --all), or correct the path",
    });
  if (statSync(path).isDirectory()) {
    if (existsSync(join(path, "config.json"))) return path;
    throw new CarambaError(`the folder ${path} has no config.json`, {
      code: "missing-file",
      remedy: "name a folder as Hugging Face keeps models, or a .safetensors checkpoint of a run",
    });
  }
  if (await isWeightsAlone(path)) {
    if (target.trainer.type === "standard") return path;
    throw withoutConfig(path);
  }
  const opened = await openCheckpoint(path);
  await opened.close();
  const config = opened.state.modelConfig as { embedder?: { vocabSize?: number } } | null;
  const vocabulary = config?.embedder?.vocabSize;
  if (vocabulary !== undefined && vocabulary !== vocabularyOf(target))
    throw new CarambaError(
      `${checkpoint} has a vocabulary of ${vocabulary}, target "${target.name}" one of ${vocabularyOf(target)}`,
      { code: "teacher", remedy: "set vocab_size to the checkpoint's" },
    );
  return path;
}

/** States of the optimizer per weight, as a checkpoint holds them. */
const states: Readonly<Record<TrainConfig["optimizer"], number>> = { adamw: 2, lion: 1, sgd: 0 };

/** Bytes of a target's checkpoints: each run keeps two while it trains, writes a third before one goes, and a final one. */
export function checkpointBytes(target: Target): number {
  const trainable = 4 * modelParameters(target.model);
  const weights = trainable + 4 * frozenParameters(target.model);
  return target.runs.reduce((sum, { train, steps }) => {
    if (!train) return sum;
    const blockwise = train.phase === "blockwise";
    const blocks = blockwise ? attentionCount(target.model.topology) : 1;
    // While training, every so many steps and after each block; the last step is the final checkpoint's.
    const during = Math.floor((steps * blocks - 1) / (train.saveEvery ?? 100)) + blocks - 1;
    const kept = Math.min(3, Math.max(0, during));
    return sum + weights * (kept + 1) + (blockwise ? 0 : kept * states[train.optimizer] * trainable);
  }, 0);
}

/** Attention layers of a topology, repeats counted each. */
function attentionCount(node: NodeConfig): number {
  return sumLayers(node, (layer) => (layer.type === "AttentionLayer" ? 1 : 0));
}

function findRoom(plan: Plan, targets: readonly Target[], runsDir: string): string {
  let place = resolve(runsDir);
  while (!existsSync(place)) place = dirname(place);
  const { bavail, bsize } = statfsSync(place);
  const [free, need] = [bavail * bsize, targets.reduce((sum, target) => sum + checkpointBytes(target), 0)];
  const words = `checkpoints of ${plan.name} take up to ${gibibytes(need)}, ${place} has ${gibibytes(free)} free`;
  if (need <= free) return words;
  throw new CarambaError(words, { code: "disk", remedy: "free some space, or put them elsewhere with --runs-dir" });
}
