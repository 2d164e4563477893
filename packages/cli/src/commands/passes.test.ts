// Measures of a repeated block against the whole graph, built copy by copy, of every preset.
import { type ModelConfig, parseManifestOrThrow, presets, trainConfig } from "@caramba/config";
import { describe, expect, it } from "vitest";
import { Passes } from "./passes.ts";

/** The same model with its repeats written out: nothing is left to extend. */
function writtenOut(config: ModelConfig): ModelConfig {
  const { topology } = config;
  if (topology.type === "GraphTopology") return config;
  const layers = topology.layers.flatMap((node) =>
    "repeat" in node && node.repeat > 1
      ? Array.from({ length: node.repeat }, () => ({ ...node, repeat: 1 }) as typeof node)
      : [node],
  );
  return { ...config, topology: { ...topology, layers } };
}

/** Equal but for masks and position tables, which are shared with whichever graph made them first. */
function expectSame(found: number, exact: number, length: number): void {
  expect(Math.abs(found - exact)).toBeLessThanOrEqual(16 * length ** 2 + 0.001 * exact);
}

const models = Object.entries(presets).flatMap(([name, text]) =>
  parseManifestOrThrow(text)
    .plan.targets.slice(0, 1)
    .map(({ model }) => [name, model] as const),
);

describe.each(models)("the model of %s", (_, model) => {
  const [short, long] = [new Passes(model), new Passes(writtenOut(model))];

  it("costs what its blocks cost one by one", async () => {
    expect(short.flopsPerToken(32)).toBe(long.flopsPerToken(32));
    expectSame(short.prefillBytes(32), long.prefillBytes(32), 32);
    if (model.embedder.type === "none") return;
    for (const phase of ["blockwise", "global"] as const)
      for (const [batchSize, blockSize] of [
        [1, 32],
        [3, 128],
      ] as const)
        for (const activationCheckpointing of [false, true]) {
          const train = trainConfig({ phase, batchSize, blockSize, lr: 1, activationCheckpointing });
          expectSame(await short.trainBytes(train), await long.trainBytes(train), blockSize);
        }
  });
});
