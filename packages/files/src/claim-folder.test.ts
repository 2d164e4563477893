/** A folder is for one at a time, and free again after a release, an exit or a kill. */
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { claimFolder } from "./claim-folder.ts";
import { thisProcess } from "./process-name.ts";

const root = await mkdtemp(join(tmpdir(), "caramba-claim-"));
afterAll(() => rm(root, { recursive: true }));

it("refuses a second claim until the first is released, and leaves nothing", async () => {
  const folder = join(root, "new", "folder");
  const release = await claimFolder(folder);
  await expect(claimFolder(folder)).rejects.toMatchObject({
    code: "folder-in-use",
    message: `${folder}: process ${process.pid} is at work in this folder`,
    remedy: expect.stringContaining(".claim."),
  });
  expect(await readdir(folder)).toHaveLength(1);
  await release();
  await release();
  await (await claimFolder(folder))();
  expect(await readdir(folder)).toEqual([]);
});

it("of many that come at once at most one stays", async () => {
  const folder = join(root, "many");
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => claimFolder(folder)));
  const held = all.filter(({ status }) => status === "fulfilled");
  expect(held.length).toBeLessThanOrEqual(1);
  expect(await readdir(folder)).toHaveLength(held.length);
});

it("takes over from processes that are gone, and heeds those it knows nothing of", async () => {
  const folder = join(root, "gone");
  await (await claimFolder(folder))();
  const [machine] = thisProcess().split("-");
  const dead = Number(execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }));
  await writeFile(join(folder, `.claim.${machine}-${dead}-00000000-${"0".repeat(12)}`), "");
  await (await claimFolder(folder))();
  expect(await readdir(folder)).toEqual([]);

  // Another machine's processes cannot be asked: its claim counts while it is young.
  await writeFile(join(folder, `.claim.00000000-${dead}-00000000-${"1".repeat(12)}`), "");
  await expect(claimFolder(folder)).rejects.toThrow(`process ${dead} is at work`);
});
