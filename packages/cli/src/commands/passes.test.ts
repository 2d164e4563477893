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
    const residual = { phase: "blockwise", blockwiseDistillTarget: "residual" } as const;
    const train = trainConfig({ ...residual, batchSize: 1, blockSize: 32, lr: 1 });
    expectSame(await short.trainBytes(train), await long.trainBytes(train), 32);
  });
});

it("distillation keeps the teacher's logits, a residual branch what its norm needs", async () => {
  const { model } = parseManifestOrThrow(presets["tiny_decoupled"] ?? "").plan.targets[0] as { model: ModelConfig };
  if (model.embedder.type !== "token") throw new Error("the preset has an embedder");
  // Logits that outweigh whatever the blocks and the table need.
  const embedder = { ...model.embedder, vocabSize: 20_000 };
  const passes = new Passes({ ...model, embedder });
  const bytes = (more: object) =>
    passes.trainBytes(trainConfig({ phase: "global", batchSize: 8, blockSize: 64, lr: 1, ...more }));
  const logits = 8 * 64 * embedder.vocabSize * 4;
  const [plain, distilled] = [await bytes({}), await bytes({ kdWeight: 1 })];
  expect(distilled - plain).toBeGreaterThanOrEqual(logits);
  // Student and teacher, each as logits, softened, logarithms and probabilities, and their gradients: no more than that.
  expect(distilled - plain).toBeLessThanOrEqual(10 * logits);
  const block = (blockwiseDistillTarget: string) => bytes({ phase: "blockwise", blockwiseDistillTarget });
  expect(await block("residual")).toBeGreaterThan(await block("attention"));
});
