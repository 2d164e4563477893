// A checkpoint with the shapes of Llama 3.2 1B (BF16, 2.5 GB) and invented weights: what loading, prefill and decoding
// cost depends on the shapes alone. Each matrix repeats one block of random numbers at the scale of a fresh model, so
// that activations stay of ordinary size and the file is made in seconds.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ModelConfig, modelConfig } from "@caramba/config";
import { writeHfModel } from "@caramba/loader";
import { Model } from "@caramba/model";
import { mixed } from "./fixed-values.ts";

/** Llama 3.2 1B (Hugging Face config.json of meta-llama/Llama-3.2-1B). */
export function llama1b(): ModelConfig {
  const dModel = 2048;
  const norm = { type: "RMSNormLayer", dModel, eps: 1e-5 } as const;
  return modelConfig({
    embedder: { type: "token", vocabSize: 128256, dModel },
    tiedEmbeddings: true,
    blockSize: 131072,
    topology: {
      type: "StackedTopology",
      layers: [
        {
          type: "NestedTopology",
          repeat: 16,
          layers: [
            {
              type: "ResidualTopology",
              layers: [
                norm,
                {
                  type: "AttentionLayer",
                  mode: "gqa",
                  dModel,
                  nHeads: 32,
                  nKvHeads: 8,
                  ropeBase: 500000,
                  ropeScaling: { ropeType: "llama3", factor: 32 },
                },
              ],
            },
            { type: "ResidualTopology", layers: [norm, { type: "SwiGLULayer", dModel, dFf: 8192, bias: false }] },
          ],
        },
        norm,
      ],
    },
  });
}

const blockLength = 1 << 20;

/** Writes the folder unless it is there already. */
export async function makeSyntheticLlama(folder: string): Promise<void> {
  if (existsSync(join(folder, "config.json"))) return;
  const config = llama1b();
  const shapes = new Map([...new Model(config).variables()].map(([path, { shape }]) => [path, shape]));
  const block = mixed(blockLength, 7919);
  await writeHfModel(
    folder,
    config,
    (path) => {
      const shape = shapes.get(path) ?? [];
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      if (shape.length === 1) return values.fill(1);
      // Variance 1 / (3 fan-in), as a fresh linear map; the embedding's rows get the same by their width.
      const bound = (path.startsWith("embedder") ? (shape[1] as number) : (shape[0] as number)) ** -0.5;
      const scaled = Float32Array.from(block, (u) => (u * 2 - 1) * bound);
      for (let at = 0; at < values.length; at += blockLength) values.set(scaled.subarray(0, values.length - at), at);
      return values;
    },
    { dtype: "bfloat16" },
  );
}
