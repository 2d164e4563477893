// The checkpoints of a run in its folder. Names, after spec: {run}_{phase}_step{n}.safetensors,
// {run}_{phase}_block{b}_step{n}.safetensors and {run}_{phase}_final.safetensors. Which one is the latest is decided by
// what the files say, never by their dates; a damaged latest one is an error, not a reason to fall back silently. A file
// that cannot be read is placed by its name: blocks are trained in ascending order.

import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { type CreateFile, makeFolder, removeFile, systemCode } from "@caramba/files";
import { CarambaError } from "@caramba/tensor";
import { type Checkpoint, type CheckpointState, openCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import type { TensorData } from "./safetensors-file.ts";
import type { DeferredTensor } from "./safetensors-write.ts";

/** A checkpoint file as its name describes it. */
export interface CheckpointFile {
  readonly path: string;
  readonly runId: string;
  readonly phase: string;
  /** Null for the names without a block. */
  readonly blockIndex: number | null;
  /** Steps done: in the block where there is one, else in the phase. Null for the final one. */
  readonly step: number | null;
  readonly final: boolean;
}

const runPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const phasePattern = /^(?!block[0-9]+$)[A-Za-z0-9-]+$/;
const namePattern = /^(.+)_(?!block[0-9]+_)([A-Za-z0-9-]+)(?:_block([0-9]+))?_(?:step([0-9]+)|final)\.safetensors$/;

/** The file name of a checkpoint. @throws CarambaError `invalid-name` for a run or phase that cannot be in a name. */
export function checkpointName(
  state: Pick<CheckpointState<unknown>, "runId" | "phase" | "step" | "blockIndex" | "blockStep" | "final">,
): string {
  if (!runPattern.test(state.runId) || state.runId.length > 128) {
    throw new CarambaError(`run id ${JSON.stringify(state.runId)} cannot be part of a file name`, {
      code: "invalid-name",
      remedy: 'Use letters, digits, "_", "-" and "." (not first), at most 128 of them.',
    });
  }
  if (!phasePattern.test(state.phase)) {
    throw new CarambaError(`phase ${JSON.stringify(state.phase)} cannot be part of a file name`, {
      code: "invalid-name",
      remedy: 'Use letters, digits and "-".',
    });
  }
  const start = `${state.runId}_${state.phase}`;
  if (state.final) return `${start}_final.safetensors`;
  if (state.blockIndex === null) return `${start}_step${state.step}.safetensors`;
  return `${start}_block${state.blockIndex}_step${state.blockStep ?? state.step}.safetensors`;
}

export interface SaveCheckpointOptions {
  /** Keep only so many of this run and phase besides a final one. Default: all. */
  readonly keepLast?: number;
  /** Creates the file; for tests. */
  readonly create?: CreateFile;
}

/**
 * Writes a checkpoint into `folder` (created if need be) under its name, then prunes if `keepLast` says so.
 * @returns its path.
 */
export async function saveCheckpoint(
  folder: string,
  checkpoint: Checkpoint<TensorData | DeferredTensor, unknown>,
  options: SaveCheckpointOptions = {},
): Promise<string> {
  const { runId, phase } = checkpoint.state;
  const path = join(folder, checkpointName(checkpoint.state));
  await makeFolder(folder);
  await writeCheckpoint(path, checkpoint, options.create ? { create: options.create } : {});
  if (options.keepLast !== undefined) await pruneCheckpoints(folder, runId, phase, options.keepLast);
  return path;
}

/**
 * The checkpoint files of a run by their names, latest first: final, then by block and step. A folder that does not
 * exist has none.
 */
export async function findCheckpoints(folder: string, runId: string, phase?: string): Promise<CheckpointFile[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === "ENOENT") return [];
    throw new CarambaError(`${folder}: cannot be listed (${systemCode(error) ?? String(error)})`, {
      code: "unreadable-file",
      remedy: "Give a folder that may be read.",
      cause: error,
    });
  });
  return names
    .flatMap((name) => {
      const [, run, ofPhase, block, step] = namePattern.exec(name) ?? [];
      if (run !== runId || ofPhase === undefined || (phase !== undefined && ofPhase !== phase)) return [];
      const found: CheckpointFile = {
        path: join(folder, name),
        runId: run,
        phase: ofPhase,
        blockIndex: block === undefined ? null : Number(block),
        step: step === undefined ? null : Number(step),
        final: step === undefined,
      };
      return [found];
    })
    .sort(latestFirst);
}

/** A file found good: its header is whole and its state was read. */
export interface GoodCheckpoint {
  readonly path: string;
  readonly state: CheckpointState;
}

/**
 * The checkpoint to go on from: the final one, else the one with the most steps; undefined when there is none.
 * @throws CarambaError `damaged-checkpoint` when the latest cannot be read, naming it and what to do.
 */
export async function latestCheckpoint(
  folder: string,
  runId: string,
  phase: string,
): Promise<GoodCheckpoint | undefined> {
  const files = await findCheckpoints(folder, runId, phase);
  const { good, bad } = await inspect(files);
  const [latest] = good;
  const [damaged] = bad;
  if (damaged && (!latest || files.indexOf(damaged.file) < files.findIndex((file) => file.path === latest.path))) {
    const reason = damaged.error instanceof Error ? damaged.error.message : String(damaged.error);
    const next = latest ? `resume from ${basename(latest.path)}` : "start this phase from its beginning";
    throw new CarambaError(`the latest checkpoint cannot be used: ${reason}`, {
      code: "damaged-checkpoint",
      remedy: `Delete ${damaged.file.path} to ${next}.`,
      cause: damaged.error,
    });
  }
  return latest;
}

/**
 * Removes all but the last `keep` good checkpoints of a run and phase. A final one is always kept and not counted; a
 * damaged one goes only when it is older than all that are kept. Nothing goes while no good one would remain.
 * @returns the paths removed.
 */
export async function pruneCheckpoints(folder: string, runId: string, phase: string, keep: number): Promise<string[]> {
  if (!Number.isSafeInteger(keep) || keep < 1) {
    throw new CarambaError(`cannot keep ${keep} checkpoints`, {
      code: "invalid-argument",
      remedy: "Keep at least 1.",
    });
  }
  const files = (await findCheckpoints(folder, runId, phase)).filter((file) => !file.final);
  const { good, bad } = await inspect(files);
  const kept = good.slice(0, keep).map((checkpoint) => checkpoint.path);
  if (kept.length < keep) return [];
  const lastKept = Math.max(...kept.map((path) => files.findIndex((file) => file.path === path)));
  const older = [
    ...good.slice(keep).map((checkpoint) => checkpoint.path),
    ...bad
      .map(({ file }) => file)
      .filter((file) => files.indexOf(file) > lastKept)
      .map((file) => file.path),
  ];
  for (const path of older) {
    await removeFile(path);
  }
  return older;
}

interface Inspected {
  /** Latest first, by content. */
  readonly good: GoodCheckpoint[];
  /** In the order of the files. */
  readonly bad: { readonly file: CheckpointFile; readonly error: unknown }[];
}

async function inspect(files: readonly CheckpointFile[]): Promise<Inspected> {
  const good: GoodCheckpoint[] = [];
  const bad: Inspected["bad"] = [];
  for (const file of files) {
    try {
      const opened = await openCheckpoint(file.path);
      await opened.close();
      if (checkpointName(opened.state) !== basename(file.path)) {
        throw new CarambaError(`${file.path}: was renamed; its content is ${checkpointName(opened.state)}`, {
          code: "bad-checkpoint",
          remedy: "Give it back its name, or delete it.",
        });
      }
      good.push({ path: file.path, state: opened.state });
    } catch (error) {
      bad.push({ file, error });
    }
  }
  good.sort((a, b) => Number(b.state.final) - Number(a.state.final) || b.state.globalStep - a.state.globalStep);
  return { good, bad };
}

function latestFirst(a: CheckpointFile, b: CheckpointFile): number {
  return (
    Number(b.final) - Number(a.final) ||
    (b.blockIndex ?? -1) - (a.blockIndex ?? -1) ||
    (b.step ?? 0) - (a.step ?? 0) ||
    (a.path < b.path ? -1 : 1)
  );
}
