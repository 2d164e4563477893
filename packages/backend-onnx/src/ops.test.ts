// The op suite of @caramba/tensor on ONNX Runtime: every sample of every op, forward and backward.
import { type Backend, checkForward, checkGradient, composites, opCases, primitives } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { open } from "./backend.ts";
import { emitters } from "./emit/table.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 2 });
});
afterAll(() => backend.close());

test("every primitive has an emitter, and no emitter is for an op that does not exist", () => {
  const known = new Set([...primitives, ...composites].map((op) => op.name));
  for (const op of primitives) expect(emitters.has(op.name), op.name).toBe(true);
  for (const name of emitters.keys()) expect(known.has(name), name).toBe(true);
});

describe("forward equals the reference", () => {
  for (const row of opCases())
    test(row.name, async () => {
      expect(await checkForward(backend, row)).toBeLessThanOrEqual(1e-5);
    });
});

describe("gradient equals the reference", () => {
  for (const row of opCases().filter((c) => c.sample.differentiable !== false))
    test(row.name, async () => {
      expect(await checkGradient(backend, row)).toBeLessThanOrEqual(1e-4);
    });
});
