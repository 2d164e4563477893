// --resume: a run goes on from its latest checkpoint anyway; this demands that there is one, and finds the folder by
// any file in it. --resume without a value looks where the run would put its own.
import { existsSync, statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import type { Plan, Target } from "@caramba/config";
import { targetFolder } from "@caramba/experiment";
import { findCheckpoints } from "@caramba/loader";
import { CarambaError } from "@caramba/tensor";

/** Where a resumed run's checkpoints are. */
export interface ResumePlace {
  readonly runsDir: string;
  /** The target whose folder was named; null where none was. */
  readonly target: string | null;
}

/**
 * The runs folder of `path`: a checkpoint, the folder of a target's checkpoints, or the folder of runs itself.
 * @throws CarambaError `resume` for what is none of these.
 */
export function resumePlace(path: string): ResumePlace {
  if (!existsSync(path))
    throw new CarambaError(`--resume ${path}: there is no such file or folder`, {
      code: "resume",
      remedy: "name a checkpoint of the run, the folder it is in, or nothing: --resume alone looks below --runs-dir",
    });
  const isFile = !statSync(path).isDirectory();
  const folder = resolve(isFile ? dirname(path) : path);
  const holdsCheckpoints = isFile || existsSync(`${folder}/train.jsonl`);
  if (!holdsCheckpoints) return { runsDir: path, target: null };
  return { runsDir: dirname(dirname(folder)), target: basename(folder) };
}

/** Demands that a run of one of the targets has a checkpoint, and that a named one is the latest of its run. */
export async function demandCheckpoints(
  plan: Plan,
  targets: readonly Target[],
  runsDir: string,
  named: string | null,
): Promise<void> {
  const folders = targets.map((target) => targetFolder(runsDir, plan, target));
  const found: string[] = [];
  for (const [i, target] of targets.entries())
    for (const run of target.runs) {
      const [latest] = run.train ? await findCheckpoints(folders[i] ?? "", run.id, run.train.phase) : [];
      if (latest) found.push(resolve(latest.path));
    }
  const isFile = named !== null && !statSync(named).isDirectory();
  if (isFile && !found.includes(resolve(named)))
    throw new CarambaError(`--resume ${named}: no run of ${plan.name} goes on from this file`, {
      code: "resume",
      remedy: found.length > 0 ? `the latest are ${found.join(", ")}` : "name a checkpoint that one of its runs left",
    });
  if (found.length === 0)
    throw new CarambaError(`--resume: there is no checkpoint in ${folders.join(", ")}`, {
      code: "resume",
      remedy: "leave --resume out to begin, or name the folder of the run's checkpoints: --resume <folder>",
    });
}
