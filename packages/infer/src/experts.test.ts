// Experts choose per token, so decoding (where only the chosen are computed) gives what the whole pass (where all are)
// gives: one token at a time and several at once, on a real engine.

import { open } from "@caramba/backend-onnx";
import { llamaModel, type NodeInput } from "@caramba/config";
import { buildModel } from "@caramba/model";
import { type Backend, compile, input } from "@caramba/tensor";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Decoder } from "./decoder.ts";

const [v, total] = [23, 24];
let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 2 });
});
afterAll(() => backend.close());

it.each([1, 2, 4])("a mixture of experts decodes %i sequences as in one pass", async (batchSize) => {
  const norm = { type: "RMSNormLayer", dModel: 32 } as const;
  const feedForward: NodeInput[] = [
    { type: "MoELayer", dModel: 32, dFf: 24, numExperts: 6 },
    {
      type: "ResidualTopology",
      layers: [norm, { type: "LoRALinearLayer", dIn: 32, dOut: 32 }, { type: "GLULayer", dModel: 32, dFf: 24 }],
    },
  ];
  const sizes = { vocabSize: v, dModel: 32, layers: 2, tiedEmbeddings: false };
  const model = buildModel(llamaModel({ ...sizes, attention: { nHeads: 4 }, feedForward }), { seed: 2 });
  for (const [path, variable] of model.variables())
    if (path.endsWith("lora_b")) variable.write(new Float32Array(variable.size).map((_, i) => Math.sin(i) / 20));
  const ids = Int32Array.from({ length: batchSize * total }, (_, i) => (i * i * 7 + 3 * i) % v);
  const part = (from: number, to: number) =>
    Int32Array.from(
      Array.from({ length: batchSize }, (_, row) => [...ids.subarray(row * total + from, row * total + to)]).flat(),
    );
  const whole = await compile(
    { outputs: { y: model.forward(input("ids", [batchSize, total], "int32")) } },
    { backend },
  );
  const expected = (await whole.read({ ids }))["y"] as Float32Array;
  whole.dispose();
  const decoder = await Decoder.open(model, { backend, storage: "fp32", batchSize, maxSeqLen: total });
  const cuts = [0, 7, 8, 9, 14, 15, 17, 18, 24];
  for (const [i, from] of cuts.slice(0, -1).entries()) {
    const to = cuts[i + 1] as number;
    const logits = await decoder.feed(part(from, to));
    logits.forEach((found, at) => {
      const [row, k] = [Math.floor(at / v), at % v];
      expect(found, `after ${to} tokens`).toBeCloseTo(expected[(row * total + to - 1) * v + k] as number, 4);
    });
  }
  decoder.dispose();
});
