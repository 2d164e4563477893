// The op suite of @caramba/tensor on TensorFlow.js: every sample of every op, forward and backward, on every engine.
import { checkForward, checkGradient, composites, opCases, primitives } from "@caramba/tensor";
import { memory } from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TfjsBackend } from "./backend.ts";
import { devices, type TfjsDevice } from "./engine.ts";
import { claimed, kernels } from "./kernels/table.ts";
import { open } from "./open.ts";
import { type GpuDeviceLike, openWebGpu } from "./webgpu.ts";

test("every primitive has a kernel, and no kernel is for an op that does not exist", () => {
  const known = new Set([...primitives, ...composites].map((op) => op.name));
  // A loop runs the kernels of its body.
  for (const op of primitives) expect(op.name === "scan" || kernels.has(op.name), op.name).toBe(true);
  for (const name of kernels.keys()) expect(known.has(name), name).toBe(true);
  const named = new Set(composites.map((op) => op.name));
  expect([...kernels.keys()].filter((name) => named.has(name))).toEqual(claimed);
});

interface WebGpuPackage {
  readonly create: (options: string[]) => {
    requestAdapter(): Promise<{ requestDevice(): Promise<GpuDeviceLike> } | null>;
  };
  readonly globals: object;
}

/** In Node a GPUDevice comes from the npm package `webgpu`, where it is installed and finds an adapter. */
async function openFor(device: TfjsDevice): Promise<TfjsBackend> {
  if (device !== "webgpu" || "gpu" in navigatorOf()) return open({ device });
  const name = "webgpu";
  const found = await import(/* @vite-ignore */ name).catch(() => undefined);
  if (!found) throw new Error("the npm package webgpu is not installed, so there is no GPUDevice in Node");
  const { create, globals } = found as WebGpuPackage;
  Object.assign(globalThis, globals);
  const adapter = await create([]).requestAdapter();
  if (!adapter) throw new Error("the npm package webgpu finds no adapter on this machine");
  return openWebGpu({ gpuDevice: await adapter.requestDevice() });
}

const navigatorOf = (): object => (globalThis as { navigator?: object }).navigator ?? {};

for (const device of devices) {
  let missing = "";
  const probe = await openFor(device).catch((error: Error) => {
    missing = error.message;
    return undefined;
  });
  await probe?.close();
  if (missing) console.warn(`\n!! tfjs:${device} IS NOT TESTED HERE: ${missing}\n`);

  // cpu and wasm come with this package: their absence is a failure, not a reason to skip.
  if (missing && device !== "cpu" && device !== "wasm") {
    test.skip(`tfjs:${device}: ALL ${opCases().length} ROWS SKIPPED: ${missing}`);
    continue;
  }
  describe(`tfjs:${device}`, () => {
    let backend: TfjsBackend;
    beforeAll(async () => {
      backend = await openFor(device);
    });
    afterAll(() => backend?.close());

    for (const row of opCases())
      test(`forward ${row.name}`, async () => {
        const before = memory().numTensors;
        expect(await checkForward(backend, row)).toBeLessThanOrEqual(1e-5);
        expect(memory().numTensors).toBe(before);
      });
    for (const row of opCases().filter((c) => c.sample.differentiable !== false))
      test(`gradient ${row.name}`, async () => {
        const before = memory().numTensors;
        expect(await checkGradient(backend, row)).toBeLessThanOrEqual(1e-4);
        expect(memory().numTensors).toBe(before);
      });
  });
}
