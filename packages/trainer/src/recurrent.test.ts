// Models of recurrent layers through the trainer: the loss falls as they learn, and activation checkpointing changes nothing
// (their graphs hold loops, of more than one chunk).
import { open } from "@caramba/backend-onnx";
import type { NodeInput } from "@caramba/config";
import { buildModel, type Model } from "@caramba/model";
import type { Backend } from "@caramba/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyRun, vocabSize } from "../test-support/tiny-run.ts";
import type { TrainEvent } from "./events.ts";
import { runTraining } from "./run.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await open({ threads: 1 });
});
afterAll(() => backend.close());

const d = 16;
const layers: Record<string, NodeInput> = {
  SSMLayer: { type: "SSMLayer", dModel: d, dState: 8 },
  GRU: { type: "RNNLayer", cell: "gru", inputSize: d, hiddenSize: d },
  "LSTM in two layers": { type: "RNNLayer", inputSize: d, hiddenSize: 20, projSize: d, numLayers: 2 },
};

function model(layer: NodeInput): Model {
  const norm = { type: "RMSNormLayer", dModel: d } as const;
  return buildModel(
    {
      embedder: { type: "token", vocabSize, dModel: d },
      topology: {
        type: "StackedTopology",
        layers: [
          {
            type: "NestedTopology",
            repeat: 2,
            layers: [{ type: "ResidualTopology", layers: [norm, layer] }],
          },
          norm,
        ],
      },
    },
    { seed: 3 },
  );
}

async function losses(of: Model, steps: number, extra: object = {}): Promise<number[]> {
  const events: TrainEvent[] = [];
  const train = { phase: "standard" as const, lr: 1e-2, batchSize: 4, blockSize: 24, ...extra };
  await runTraining(tinyRun({ backend, model: of, train, steps, onEvent: (event) => events.push(event) }));
  return events.map(({ loss }) => loss);
}

describe.each(Object.entries(layers))("%s", (_, layer) => {
  it("learns", async () => {
    const found = await losses(model(layer), 60);
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(found.length).toBe(60);
    expect(found[0]).toBeGreaterThan(2.3);
    expect(mean(found.slice(-5))).toBeLessThan(0.75 * mean(found.slice(0, 5)));
  });

  it("learns the same with activation checkpointing", async () => {
    const plain = await losses(model(layer), 4);
    const again = await losses(model(layer), 4, { activationCheckpointing: true });
    again.forEach((loss, i) => {
      expect(loss).toBeCloseTo(plain[i] as number, 5);
    });
  });
});
