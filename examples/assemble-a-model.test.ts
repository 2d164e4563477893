import { expect, it } from "vitest";
import { assembleAModel } from "./assemble-a-model.ts";

it("assembles models, counts them by the formulas, and a step down the gradient lowers the loss", async () => {
  const lines: string[] = [];
  const found = await assembleAModel((line) => lines.push(line));
  expect(found.blockShape).toEqual([1, 10, 64]);
  // A residual block starts near its input, sin(i), and adds something to all of it.
  const added = Array.from(found.blockValues, (value, i) => value - Math.sin(i));
  expect(added).toHaveLength(640);
  expect(added.every((d) => d !== 0 && Math.abs(d) < 2)).toBe(true);

  // By hand: V D for the shared table; per layer two norms, attention, three matrices of SwiGLU; one norm at the end.
  const [V, D, F, L, H, Hkv] = [512, 128, 344, 4, 8, 2];
  const rest = V * D + L * (2 * D + 3 * D * F) + D;
  const gqa = 2 * D * D + 2 * D * Hkv * (D / H);
  expect(found.llama.parameters).toBe(rest + L * gqa);
  const [sem, geo, v] = [32 / H, 32 / H, 64 / H];
  const decoupled = D * H * (sem + geo) + D * Hkv * (sem + geo + v) + H * v * D;
  expect(found.dba.parameters).toBe(rest + L * decoupled);

  expect(found.llama.kvElementsPerToken).toBe(L * Hkv * 2 * (D / H));
  expect(found.dba.kvElementsPerToken).toBe(L * Hkv * (sem + geo + v));
  expect(found.dba.kvBytesPerToken).toBe(2 * found.dba.kvElementsPerToken);
  // Two operations per weight that multiplies, and scores and mixing besides.
  expect(found.llama.flopsPerToken).toBeGreaterThanOrEqual(2 * (found.llama.parameters - (2 * L + 1) * D));

  expect(found.loss).toBeCloseTo(Math.log(V), 0);
  expect(found.lossAfterStep).toBeLessThan(found.loss);
  expect(lines.join("\n")).toMatch(/KV bytes per token, fp16 +512 +256 +0\.500/);
});
