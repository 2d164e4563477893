// One at a time in a folder. Each claims it by a file that bears its own name and then looks for others: two that come at
// once see each other and both stand back, and a file is only ever removed by its owner or once that owner is gone.
import { randomBytes } from "node:crypto";
import { unlinkSync } from "node:fs";
import { readdir, unlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CarambaError } from "@caramba/tensor";
import { makeFolder } from "./durable-file.ts";
import { ownerIsGone, thisProcess } from "./process-name.ts";
import { writeError } from "./system-error.ts";

const claimPattern = /^\.claim\.([0-9a-f]{8}-([0-9]+)-[0-9a-f]{8})-[0-9a-f]{12}$/;
/** Claims of other machines are judged by their age. */
const refreshMs = 3600 * 1000;

/**
 * Claims a folder, which is made where it does not exist, for this caller alone until the returned function is called or
 * the process ends.
 * @throws CarambaError `folder-in-use` while another living process, or another caller in this one, has claimed it.
 */
export async function claimFolder(folder: string): Promise<() => Promise<void>> {
  await makeFolder(folder);
  const own = `.claim.${thisProcess()}-${randomBytes(6).toString("hex")}`;
  const path = join(folder, own);
  await writeFile(path, "", { flag: "wx" }).catch((cause: unknown) => {
    throw writeError(folder, cause);
  });
  const onExit = (): void => {
    try {
      unlinkSync(path);
    } catch {
      // Removed already, with its folder perhaps.
    }
  };
  process.once("exit", onExit);
  // A computer that wrote nothing for a day would be taken for gone by others that share the folder.
  const refresh = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), refreshMs);
  refresh.unref();
  const release = async (): Promise<void> => {
    clearInterval(refresh);
    process.off("exit", onExit);
    await unlink(path).catch(() => {});
  };
  for (const name of await readdir(folder)) {
    const [, owner, pid] = claimPattern.exec(name) ?? [];
    if (owner === undefined || name === own) continue;
    const other = join(folder, name);
    if (await ownerIsGone(owner, other)) {
      await unlink(other).catch(() => {});
      continue;
    }
    await release();
    throw new CarambaError(`${folder}: process ${pid} is at work in this folder`, {
      code: "folder-in-use",
      remedy: `Wait for it to end, or stop it; if there is no such process on any machine that uses the folder, remove ${other}.`,
    });
  }
  return release;
}
