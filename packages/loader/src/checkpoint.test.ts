import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canonicalJson } from "@caramba/files";
import type { CarambaError } from "@caramba/tensor";
import { afterAll, describe, expect, it } from "vitest";
import { checkpointOfStep } from "../test-support/checkpoint-of-step.ts";
import { loadCheckpoint, openCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { writeSafetensors } from "./safetensors-write.ts";

const folder = await mkdtemp(join(tmpdir(), "caramba-checkpoint-"));
afterAll(() => rm(folder, { recursive: true }));
let files = 0;
const newPath = (): string => join(folder, `c${files++}.safetensors`);
const small = checkpointOfStep(7, 6);
const expectAll = { "a.weight": { shape: [6] }, "b.weight": { shape: [6] } };

it("gives back what was written", async () => {
  const path = newPath();
  await writeCheckpoint(path, small);
  expect(await loadCheckpoint(path, { expect: expectAll, optimizer: true })).toEqual(small);
  const { model, state } = small;
  expect(await loadCheckpoint(path, { optimizer: false })).toEqual({ model, state });
});

it("writes the same bytes for the same content, whatever the order of keys", async () => {
  const [a, b] = [newPath(), newPath()];
  await writeCheckpoint(a, small);
  const reversed = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(record).reverse());
  const state = { ...small.state, modelConfig: { sizes: [1, 2, 3], type: "TransformerModel", left: undefined } };
  await writeCheckpoint(b, { ...small, state, model: reversed(small.model) });
  expect(await readFile(b)).toEqual(await readFile(a));
});

it("keeps a model nested as deep as a manifest may", async () => {
  const path = newPath();
  let topology: object = { type: "RMSNormLayer", dModel: 8 };
  for (let level = 0; level < 195; level++) topology = { type: "StackedTopology", layers: [topology] };
  const state = { ...small.state, modelConfig: { topology } };
  await writeCheckpoint(path, { state, model: {} });
  const opened = await openCheckpoint(path);
  expect(opened.state).toEqual(state);
  await opened.close();
});

it("reads the state and single tensors without the rest", async () => {
  const path = newPath();
  await writeCheckpoint(path, small);
  const opened = await openCheckpoint(path);
  expect(opened.state).toEqual(small.state);
  expect(opened.hasOptimizer).toBe(true);
  expect(await opened.source.readFloat32("optimizer.v.a.weight")).toEqual(new Float32Array(6).fill(7 * 8 + 5));
  await opened.close();
});

it("keeps a checkpoint without optimizer state, and says so when training needs it", async () => {
  const path = newPath();
  const { state, model } = small;
  await writeCheckpoint(path, { state, model });
  expect(await loadCheckpoint(path, { expect: expectAll })).toEqual({ state, model });
  await expect(loadCheckpoint(path, { optimizer: true })).rejects.toMatchObject({
    code: "bad-checkpoint",
    message: `${path}: has no optimizer state`,
  });
});

it("names what is missing, unexpected or of another shape", async () => {
  const path = newPath();
  await writeCheckpoint(path, small);
  const wrong = { "a.weight": { shape: [2, 3] }, "c.weight": { shape: [1] }, toString: { shape: [1] } };
  const error: unknown = await loadCheckpoint(path, { expect: wrong }).catch((caught: unknown) => caught);
  expect(error).toMatchObject({
    name: "CarambaError",
    code: "checkpoint-mismatch",
    message: `${path}: model.* does not fit the model: missing (2): c.weight, toString; unexpected (1): b.weight; of another shape (1): a.weight ([6] instead of [2, 3])`,
  });
});

it("checks the optimizer's tensors against the model too", async () => {
  const path = newPath();
  const { "b.weight": _, ...less } = small.optimizer?.v ?? {};
  await writeCheckpoint(path, { ...small, optimizer: { m: small.optimizer?.m ?? {}, v: less } });
  await expect(loadCheckpoint(path, { expect: expectAll })).rejects.toThrow(
    /optimizer\.v\.\* .*missing \(1\): b\.weight/,
  );
});

describe("damage", () => {
  it("is noticed wherever the file is cut or a byte is changed", async () => {
    const path = newPath();
    await writeCheckpoint(path, small);
    const bytes = await readFile(path);
    const outcome = (): Promise<unknown> =>
      loadCheckpoint(path).then(
        () => "loaded",
        (error: CarambaError) => error.remedy,
      );
    const remedy = "The file is damaged: delete it to resume from an older checkpoint.";
    expect(await outcome()).toBe("loaded");
    for (let length = 0; length < bytes.length; length += 13) {
      await writeFile(path, bytes.subarray(0, length));
      expect(await outcome()).toBe(remedy);
    }
    const dataStart = 8 + Number(bytes.readBigUInt64LE(0));
    for (let at = dataStart; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      await writeFile(path, changed);
      expect(await outcome()).toBe(remedy);
    }
  });

  it.each<[string, Record<string, string>, RegExp, RegExp?]>([
    ["another kind of file", { format: "pt" }, /not a Caramba checkpoint/, /Give the path of a checkpoint/],
    [
      "a later version",
      { format: "caramba-checkpoint", version: "2" },
      /version 2; this Caramba reads version 1$/,
      /A later Caramba wrote it: update Caramba/,
    ],
    ["no version", { format: "caramba-checkpoint" }, /version missing; this Caramba reads version 1$/],
    [
      "a version that is none",
      { format: "caramba-checkpoint", version: `\u001b[2J${"1".repeat(1000)}` },
      /version "\\u001b\[2J1{96}\.\.\."; this/,
    ],
    ["no state", { format: "caramba-checkpoint", version: "1" }, /no state/],
    ["state that is not JSON", { format: "caramba-checkpoint", version: "1", state: "{" }, /state: /],
    ["state that is a list", { format: "caramba-checkpoint", version: "1", state: "[]" }, /not an object/],
  ])("%s is refused", async (_, metadata, message, remedy = /The file is damaged: delete it/) => {
    const path = newPath();
    await writeSafetensors(path, {}, { metadata });
    await expect(openCheckpoint(path)).rejects.toMatchObject({
      code: remedy.source.includes("later") ? "checkpoint-version" : "bad-checkpoint",
      message: expect.stringMatching(message),
      remedy: expect.stringMatching(remedy),
    });
  });

  it("state with a key that it does not have, a number for a flag or below 0 is refused", async () => {
    const path = newPath();
    const base = { format: "caramba-checkpoint", version: "1" };
    for (const [change, message] of [
      [{ more: 1 }, /state: unknown key "more"/],
      [{ step: -1 }, /step is not a whole number from 0/],
      [{ seed: "7" }, /seed is not a whole number from 0/],
      [{ blockStep: -1 }, /blockStep is not a whole number from 0/],
      [{ final: 1 }, /final is not true or false/],
    ] as const) {
      await writeSafetensors(path, {}, { metadata: { ...base, state: canonicalJson({ ...small.state, ...change }) } });
      await expect(openCheckpoint(path)).rejects.toThrow(message);
    }
    for (const state of ["null", "7", '"x"']) {
      await writeSafetensors(path, {}, { metadata: { ...base, state } });
      await expect(openCheckpoint(path)).rejects.toThrow(/state: is not an object/);
    }
  });

  it.each(Object.keys(small.state))("state without a sound %s is refused", async (key) => {
    const path = newPath();
    const base = { format: "caramba-checkpoint", version: "1" };
    const { [key as keyof typeof small.state]: _, ...rest } = small.state;
    await writeSafetensors(path, {}, { metadata: { ...base, state: canonicalJson(rest) } });
    await expect(openCheckpoint(path)).rejects.toThrow(`state: no ${key}`);
    if (["modelConfig", "tokenizer", "schedule"].includes(key)) return;
    const wrong = canonicalJson({ ...small.state, [key]: -1.5 });
    await writeSafetensors(path, {}, { metadata: { ...base, state: wrong } });
    await expect(openCheckpoint(path)).rejects.toThrow(new RegExp(`state: ${key} is not`));
  });

  it("a tensor that belongs nowhere is refused", async () => {
    const path = newPath();
    const metadata = { format: "caramba-checkpoint", version: "1", state: canonicalJson(small.state) };
    await writeSafetensors(path, { stray: { dtype: "U8", shape: [0], data: new Uint8Array() } }, { metadata });
    await expect(openCheckpoint(path)).rejects.toThrow(/unexpected tensor "stray"/);
  });

  it("state that JSON would change is refused before anything is written", async () => {
    const path = newPath();
    const state = { ...small.state, schedule: { loss: Number.NaN } };
    await expect(writeCheckpoint(path, { ...small, state })).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringMatching(/state\.schedule\.loss: NaN/),
    });
    await expect(writeCheckpoint(path, { ...small, state: { ...small.state, step: 1.5 } })).rejects.toMatchObject({
      code: "invalid-checkpoint",
    });
    expect(await readdir(folder)).not.toContain(path.split("/").at(-1));
  });

  it("a file cut while it is open is noticed", async () => {
    const path = newPath();
    await writeCheckpoint(path, small);
    const opened = await openCheckpoint(path);
    await truncate(path, 1000);
    await expect(opened.source.read("optimizer.v.b.weight")).rejects.toMatchObject({ code: "truncated-file" });
    await opened.close();
  });
});
