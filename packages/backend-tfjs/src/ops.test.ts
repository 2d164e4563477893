// The op suite of @caramba/tensor on TensorFlow.js: every sample of every op, forward and backward, on every engine.
import { checkForward, checkGradient, composites, opCases, primitives } from "@caramba/tensor";
import { memory } from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TfjsBackend } from "./backend.ts";
import { devices } from "./engine.ts";
import { claimed, kernels } from "./kernels/table.ts";
import { open } from "./open.ts";

test("every primitive has a kernel, and no kernel is for an op that does not exist", () => {
  const known = new Set([...primitives, ...composites].map((op) => op.name));
  for (const op of primitives) expect(kernels.has(op.name), op.name).toBe(true);
  for (const name of kernels.keys()) expect(known.has(name), name).toBe(true);
  const named = new Set(composites.map((op) => op.name));
  expect([...kernels.keys()].filter((name) => named.has(name))).toEqual(claimed);
});

for (const device of devices) {
  let missing = "";
  const probe = await open({ device }).catch((error: Error) => {
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
      backend = await open({ device });
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
