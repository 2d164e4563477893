// A model that answers in no time, with weights large enough that greedy answers vary.
import { writeCheckpoint } from "@caramba/loader";
import { buildModel, type Model } from "@caramba/model";
import { Philox } from "@caramba/tensor";

/** One attention layer over a vocabulary. */
export function tinyModel(vocabSize: number): Model {
  const model = buildModel({
    embedder: { type: "token", vocabSize, dModel: 16 },
    topology: {
      type: "StackedTopology",
      layers: [
        {
          type: "ResidualTopology",
          layers: [
            { type: "RMSNormLayer", dModel: 16 },
            { type: "AttentionLayer", dModel: 16, nHeads: 2, nKvHeads: 1 },
          ],
        },
        { type: "RMSNormLayer", dModel: 16 },
      ],
    },
  });
  const random = new Philox(4);
  for (const variable of model.variables().values())
    if (variable.shape.length > 1) variable.write(Float32Array.from({ length: variable.size }, () => random.normal()));
  return model;
}

/** Writes that model as a finished run's checkpoint. */
export async function tinyCheckpoint(path: string, vocabSize: number, tokenizer: string): Promise<void> {
  const model = tinyModel(vocabSize);
  const tensors: Record<string, { dtype: "F32"; shape: number[]; data: Float32Array }> = {};
  for (const [name, variable] of model.variables())
    tensors[name] = { dtype: "F32", shape: [...variable.shape], data: (await variable.read()) as Float32Array };
  await writeCheckpoint(path, {
    state: {
      runId: "tiny",
      phase: "standard",
      step: 1,
      globalStep: 1,
      blockIndex: null,
      blockStep: null,
      final: true,
      modelConfig: model.config,
      tokenizer,
      seed: 0,
      dataHash: null,
      schedule: null,
    },
    model: tensors,
  });
}
