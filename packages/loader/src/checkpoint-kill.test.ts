// A process that saves checkpoints without a pause is killed with SIGKILL, again and again. Whatever the moment, the
// last checkpoint it reported can be loaded, whole, and the next process goes on from there.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { checkpointOfStep } from "../test-support/checkpoint-of-step.ts";
import { loadCheckpoint } from "./checkpoint.ts";
import { latestCheckpoint, saveCheckpoint } from "./checkpoint-folder.ts";

const script = fileURLToPath(new URL("../test-support/save-for-ever.mjs", import.meta.url));
const isTemporary = (name: string): boolean => name.endsWith(".tmp");

it("leaves the previous checkpoint loadable after a kill at any moment", async () => {
  const folder = await mkdtemp(join(tmpdir(), "caramba-kill-"));
  let step = 0;
  let killedWhileSaving = 0;
  for (let round = 0; round < 10; round++) {
    const child = spawn(process.execPath, [script, folder, String(step + 1)], { stdio: ["ignore", "pipe", "inherit"] });
    const exit = once(child, "exit");
    let reported = step;
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => {
      reported = Number(line);
    });
    await Promise.race([once(lines, "line"), exit]);
    expect(child.exitCode).toBe(null);
    await sleep(Math.random() * 60);
    child.kill("SIGKILL");
    await exit;
    if ((await readdir(folder)).some(isTemporary)) killedWhileSaving++;

    const latest = await latestCheckpoint(folder, "run", "standard");
    if (!latest) throw new Error("no checkpoint");
    expect(latest.state.step).toBeGreaterThanOrEqual(reported);
    expect(latest.state.step).toBeGreaterThan(step);
    step = latest.state.step;
    const { state, model, optimizer } = await loadCheckpoint(latest.path, { optimizer: true });
    const whole = checkpointOfStep(step);
    expect(state).toEqual(whole.state);
    for (const [found, wanted] of [
      [model, whole.model],
      [optimizer?.m, whole.optimizer?.m],
      [optimizer?.v, whole.optimizer?.v],
    ]) {
      for (const [name, tensor] of Object.entries(wanted ?? {})) {
        const bytes = (data: ArrayBufferView | undefined): Buffer => Buffer.from(data?.buffer ?? new ArrayBuffer(0));
        expect(Buffer.compare(bytes(found?.[name]?.data), bytes(tensor.data))).toBe(0);
      }
    }
  }
  expect(killedWhileSaving).toBeGreaterThan(0);
  await saveCheckpoint(folder, checkpointOfStep(step + 1));
  expect((await readdir(folder)).filter(isTemporary)).toEqual([]);
  await rm(folder, { recursive: true });
}, 120_000);
