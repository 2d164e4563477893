// For tests: a checkpoint whose whole content follows from its step, large enough to be killed while it is written.
import type { Checkpoint, TensorData } from "../src/index.ts";

/** A checkpoint of run "run", phase "standard"; `count` floats in each tensor. */
export function checkpointOfStep(step: number, count = 100_000): Checkpoint {
  const tensor = (seed: number): TensorData => ({
    dtype: "F32",
    shape: [count],
    data: new Float32Array(count).fill(step * 8 + seed),
  });
  return {
    state: {
      runId: "run",
      phase: "standard",
      step,
      globalStep: step,
      blockIndex: null,
      blockStep: null,
      final: false,
      modelConfig: { type: "TransformerModel", sizes: [1, 2, 3] },
      tokenizer: null,
      seed: 1337,
      dataHash: "abc",
      schedule: { position: step * 3 },
    },
    model: { "a.weight": tensor(1), "b.weight": tensor(2) },
    optimizer: {
      m: { "a.weight": tensor(3), "b.weight": tensor(4) },
      v: { "a.weight": tensor(5), "b.weight": tensor(6) },
    },
  };
}
