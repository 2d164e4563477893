import { mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { checkpointOfStep } from "../test-support/checkpoint-of-step.ts";
import type { Checkpoint, CheckpointState } from "./checkpoint.ts";
import {
  checkpointName,
  findCheckpoints,
  latestCheckpoint,
  pruneCheckpoints,
  saveCheckpoint,
} from "./checkpoint-folder.ts";

const root = await mkdtemp(join(tmpdir(), "caramba-folder-"));
afterAll(() => rm(root, { recursive: true }));
let folders = 0;
const newFolder = (): string => join(root, String(folders++));

function at(step: number, more: Partial<CheckpointState> = {}): Checkpoint {
  const whole = checkpointOfStep(step, 5);
  return { ...whole, state: { ...whole.state, ...more } };
}

async function names(folder: string): Promise<string[]> {
  return (await readdir(folder)).sort();
}

describe("names", () => {
  it("follow the specification", () => {
    const { state } = at(12, { runId: "exp__s42" });
    expect(checkpointName(state)).toBe("exp__s42_standard_step12.safetensors");
    expect(checkpointName({ ...state, final: true })).toBe("exp__s42_standard_final.safetensors");
    const block = { ...state, phase: "blockwise", blockIndex: 3, blockStep: 500 };
    expect(checkpointName(block)).toBe("exp__s42_blockwise_block3_step500.safetensors");
  });

  it("say which run, phase, block and step they belong to, whatever the run is called", async () => {
    const folder = newFolder();
    await mkdir(folder);
    const part = fc.constantFrom("a", "standard", "block1", "step2", "final", "_", "-", ".", "0");
    const runId = fc
      .array(part, { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join(""))
      .filter((id) => /^[A-Za-z0-9_]/.test(id));
    const phase = fc.constantFrom("standard", "blockwise", "global", "step3", "final", "a-b", "block");
    await fc.assert(
      fc.asyncProperty(
        runId,
        phase,
        fc.option(fc.nat(99)),
        fc.nat(999),
        fc.boolean(),
        async (id, of, block, step, final) => {
          const state = {
            runId: id,
            phase: of,
            step: step + 5,
            blockIndex: block,
            blockStep: block === null ? null : step,
            final,
          };
          const name = checkpointName(state);
          await writeFile(join(folder, name), "");
          const found = (await findCheckpoints(folder, id, of)).find((file) => basename(file.path) === name);
          expect(found).toMatchObject({
            runId: id,
            phase: of,
            final,
            blockIndex: final ? null : block,
            step: final ? null : block === null ? step + 5 : step,
          });
          for (const other of await findCheckpoints(folder, `${id}_x`)) expect(basename(other.path)).not.toBe(name);
          await rm(join(folder, name));
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each(["", "../x", "a/b", ".hidden", "a b", "x".repeat(129)])("refuse the run id %j", (runId) => {
    expect(() => checkpointName({ ...at(1).state, runId })).toThrow(/cannot be part of a file name/);
  });

  it.each(["", "a_b", "block3"])("refuse the phase %j", (phase) => {
    expect(() => checkpointName({ ...at(1).state, phase })).toThrow(/cannot be part of a file name/);
  });
});

describe("latestCheckpoint", () => {
  it("is undefined where there is none", async () => {
    expect(await latestCheckpoint(newFolder(), "run", "standard")).toBeUndefined();
    const folder = newFolder();
    await saveCheckpoint(folder, at(1, { runId: "other" }));
    await saveCheckpoint(folder, at(1, { runId: "run_2" }));
    await saveCheckpoint(folder, at(1, { phase: "global" }));
    expect(await latestCheckpoint(folder, "run", "standard")).toBeUndefined();
  });

  it("has the most steps by number, not by name or by date; a final one goes first", async () => {
    const folder = newFolder();
    for (const step of [100, 9, 20]) await saveCheckpoint(folder, at(step));
    await utimes(join(folder, "run_standard_step100.safetensors"), 0, 0);
    expect((await latestCheckpoint(folder, "run", "standard"))?.state.step).toBe(100);
    await saveCheckpoint(folder, at(50, { final: true }));
    expect((await latestCheckpoint(folder, "run", "standard"))?.state).toMatchObject({ step: 50, final: true });
  });

  it("orders blocks before steps", async () => {
    const folder = newFolder();
    for (const [blockIndex, blockStep, globalStep] of [
      [0, 500, 500],
      [1, 100, 600],
      [0, 100, 100],
    ] as const) {
      await saveCheckpoint(folder, at(blockStep, { phase: "blockwise", blockIndex, blockStep, globalStep }));
    }
    expect((await latestCheckpoint(folder, "run", "blockwise"))?.state.globalStep).toBe(600);
    expect((await findCheckpoints(folder, "run")).map((file) => [file.blockIndex, file.step])).toEqual([
      [1, 100],
      [0, 500],
      [0, 100],
    ]);
  });

  it("refuses a damaged latest one: names it and says what deleting it does", async () => {
    const folder = newFolder();
    for (const step of [1, 2]) await saveCheckpoint(folder, at(step));
    const latest = join(folder, "run_standard_step2.safetensors");
    await truncate(latest, 500);
    await expect(latestCheckpoint(folder, "run", "standard")).rejects.toMatchObject({
      name: "CarambaError",
      code: "damaged-checkpoint",
      message: expect.stringContaining(latest),
      remedy: `Delete ${latest} to resume from run_standard_step1.safetensors.`,
    });
    await rm(latest);
    expect((await latestCheckpoint(folder, "run", "standard"))?.state.step).toBe(1);
    await truncate(join(folder, "run_standard_step1.safetensors"), 0);
    await expect(latestCheckpoint(folder, "run", "standard")).rejects.toMatchObject({
      remedy: expect.stringMatching(/start this phase from its beginning/),
    });
  });

  it("is not kept from its work by an older damaged one", async () => {
    const folder = newFolder();
    for (const step of [1, 2]) await saveCheckpoint(folder, at(step));
    await truncate(join(folder, "run_standard_step1.safetensors"), 500);
    expect((await latestCheckpoint(folder, "run", "standard"))?.state.step).toBe(2);
  });

  it("does not believe a name that its content denies", async () => {
    const folder = newFolder();
    await saveCheckpoint(folder, at(1));
    await rename(join(folder, "run_standard_step1.safetensors"), join(folder, "run_standard_step9.safetensors"));
    await expect(latestCheckpoint(folder, "run", "standard")).rejects.toThrow(/was renamed/);
  });
});

describe("pruneCheckpoints", () => {
  it("keeps the last so many and the final one, of this run and phase only", async () => {
    const folder = newFolder();
    for (const step of [8, 9, 10, 11]) await saveCheckpoint(folder, at(step));
    await saveCheckpoint(folder, at(11, { final: true }));
    await saveCheckpoint(folder, at(1, { phase: "global" }));
    await saveCheckpoint(folder, at(1, { runId: "other" }));
    const removed = await pruneCheckpoints(folder, "run", "standard", 2);
    expect(removed.map((path) => basename(path)).sort()).toEqual([
      "run_standard_step8.safetensors",
      "run_standard_step9.safetensors",
    ]);
    expect(await names(folder)).toEqual([
      "other_standard_step1.safetensors",
      "run_global_step1.safetensors",
      "run_standard_final.safetensors",
      "run_standard_step10.safetensors",
      "run_standard_step11.safetensors",
    ]);
  });

  it("never counts a damaged one as kept", async () => {
    const folder = newFolder();
    for (const step of [1, 2, 3, 4]) await saveCheckpoint(folder, at(step));
    for (const step of [1, 3, 4]) await truncate(join(folder, `run_standard_step${step}.safetensors`), 500);
    await pruneCheckpoints(folder, "run", "standard", 1);
    expect(await names(folder)).toEqual([2, 3, 4].map((step) => `run_standard_step${step}.safetensors`));
    await pruneCheckpoints(folder, "run", "standard", 2);
    expect(await names(folder)).toHaveLength(3);
  });

  it("removes nothing when all are damaged, or none is asked to stay", async () => {
    const folder = newFolder();
    for (const step of [1, 2]) {
      await saveCheckpoint(folder, at(step));
      await truncate(join(folder, `run_standard_step${step}.safetensors`), 10);
    }
    expect(await pruneCheckpoints(folder, "run", "standard", 1)).toEqual([]);
    await expect(pruneCheckpoints(folder, "run", "standard", 0)).rejects.toMatchObject({ code: "invalid-argument" });
    expect(await names(folder)).toHaveLength(2);
  });

  it("happens on saving when asked for", async () => {
    const folder = newFolder();
    for (const step of [1, 2, 3]) await saveCheckpoint(folder, at(step), { keepLast: 1 });
    expect(await names(folder)).toEqual(["run_standard_step3.safetensors"]);
  });
});

it("says what is wrong with a folder that is a file", async () => {
  const folder = newFolder();
  await writeFile(folder, "");
  await expect(findCheckpoints(folder, "run")).rejects.toMatchObject({ code: "unreadable-file" });
  await expect(saveCheckpoint(folder, at(1))).rejects.toMatchObject({ name: "CarambaError", code: "unwritable-file" });
});

it("replaces a checkpoint of the same name whole", async () => {
  const folder = newFolder();
  const path = await saveCheckpoint(folder, at(1));
  const first = await readFile(path);
  await saveCheckpoint(folder, at(1, { seed: 2 }));
  expect(await readFile(path)).not.toEqual(first);
  expect(await names(folder)).toEqual([basename(path)]);
});
