import { MemoryTokens } from "@caramba/data";
import { buildModel } from "@caramba/model";
import { ReferenceBackend } from "@caramba/tensor";
import { expect, it } from "vitest";
import { benchmarkFromCode, TopOneBenchmark } from "./benchmark-from-code.ts";

it("measures both models; caches are what the formulas say", async () => {
  const lines: string[] = [];
  const { llama, dba } = await benchmarkFromCode("auto", (line) => lines.push(line));
  if (!llama || !dba) throw new Error("a model is missing");
  for (const each of [llama, dba]) {
    // Untrained: about as unsure as a guess among 256.
    expect(Math.log(each.perplexity)).toBeCloseTo(Math.log(256), 0);
    expect(each.ciLow).toBeLessThan(each.perplexity);
    expect(each.ciHigh).toBeGreaterThan(each.perplexity);
    expect(each.decodeTokensPerSec).toBeGreaterThan(0);
    expect(each.cacheMb).toBe((each.kvBytesPerToken * 128) / 2 ** 20);
  }
  // 2 layers, 2 key-value heads, 2 bytes: keys and values of width 16; of widths 4 + 4 and 8.
  expect(llama.kvBytesPerToken).toBe(2 * 2 * 2 * (16 + 16));
  expect(dba.kvBytesPerToken).toBe(2 * 2 * 2 * (4 + 4 + 8));
  expect(lines.filter((line) => line.includes("perplexity"))).toHaveLength(2);
});

it("counts what the most likely token gets right", async () => {
  // A model that says the token it has just read: right exactly where a token repeats.
  const model = buildModel({
    embedder: { type: "token", vocabSize: 4, dModel: 4 },
    topology: { type: "StackedTopology", layers: [{ type: "RMSNormLayer", dModel: 4 }] },
  });
  const identity = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0));
  model.variables().get("embedder.weight")?.write(identity);
  const tokens = new MemoryTokens(Int32Array.of(0, 0, 1, 1, 1, 2, 3, 3, 0));
  const { metrics } = await new TopOneBenchmark(tokens, 8).run(model, new ReferenceBackend());
  expect(metrics["accuracy"]).toBe(4 / 8);
});
