// Training in a process that is killed with SIGKILL at random moments and started again until it comes to its end: its
// final checkpoints are byte-equal to those of training that nobody disturbed.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { open } from "@caramba/backend-onnx";
import { expect, it } from "vitest";
import { trainInPhases } from "../test-support/tiny-run.ts";

const script = fileURLToPath(new URL("../test-support/train-until-killed.mjs", import.meta.url));

/** Starts the training; kills it some time after it has printed `lines` lines, or never. Returns what it printed. */
async function train(folder: string, lines = Number.POSITIVE_INFINITY): Promise<string[]> {
  const child = spawn(process.execPath, [script, folder], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  const printed: string[] = [];
  const reader = createInterface({ input: child.stdout });
  const enough = new Promise<void>((resolve) => {
    reader.on("line", (line) => {
      printed.push(line);
      if (printed.length >= lines) resolve();
    });
  });
  await Promise.race([enough, exit]);
  if (child.exitCode === null && Number.isFinite(lines)) {
    // A step takes a few milliseconds: the kill falls into a step, or into the saving after every second one.
    await sleep(Math.random() * 15);
    child.kill("SIGKILL");
  }
  await exit;
  return printed;
}

it("ends byte-equal however often it is killed", async () => {
  const [calm, rough] = await Promise.all([1, 2].map(() => mkdtemp(join(tmpdir(), "caramba-killed-"))));
  if (!calm || !rough) throw new Error("no folders");
  const backend = await open({ threads: 1 });
  const all: string[] = [];
  await trainInPhases(backend, calm, ({ phase, step }) => all.push(`${phase} ${step}`));
  await backend.close();

  const firsts: number[] = [];
  for (let kill = 0; kill < 5; kill++) {
    const printed = await train(rough, 8 + Math.floor(Math.random() * 8));
    expect(printed).not.toContain("done");
    firsts.push(all.indexOf(printed[0] as string));
  }
  const last = await train(rough);
  expect(last.at(-1)).toBe("done");
  firsts.push(all.indexOf(last[0] as string));
  // Each process went on where the one before had last saved, not from the beginning.
  expect(firsts[0]).toBe(0);
  for (let i = 1; i < firsts.length; i++) expect(firsts[i]).toBeGreaterThan(firsts[i - 1] as number);
  for (const phase of ["standard", "blockwise"]) {
    const [a, b] = await Promise.all([calm, rough].map((f) => readFile(join(f, `tiny_${phase}_final.safetensors`))));
    expect(Buffer.compare(a as Buffer, b as Buffer)).toBe(0);
  }
  expect((await readdir(rough)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  await Promise.all([calm, rough].map((folder) => rm(folder, { recursive: true })));
}, 120_000);
