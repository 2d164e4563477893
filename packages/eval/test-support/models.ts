// Small models whose outputs are known in closed form.
import { buildModel, type Model } from "@caramba/model";
import { CarambaError } from "@caramba/tensor";

const shortBlock = (dModel: number, attention: object) => ({
  type: "ResidualTopology" as const,
  layers: [
    { type: "RMSNormLayer" as const, dModel },
    { type: "AttentionLayer" as const, dModel, nHeads: 4, bias: true, ...attention },
  ],
});

/** A tiny Llama-like model with `layers` attention layers; equal seeds give equal weights. */
export function tinyModel(
  options: { vocabSize?: number; layers?: number; attention?: object; seed?: number } = {},
): Model {
  const { vocabSize = 11, layers = 2, attention = {}, seed = 3 } = options;
  return buildModel(
    {
      embedder: { type: "token", vocabSize, dModel: 16 },
      topology: {
        type: "StackedTopology",
        layers: [
          ...Array.from({ length: layers }, () => shortBlock(16, attention)),
          { type: "RMSNormLayer", dModel: 16 },
        ],
      },
    },
    { seed },
  );
}

/** Changes one variable in place. */
export async function edit(model: Model, path: string, change: (values: Float32Array) => void): Promise<void> {
  const variable = model.variables().get(path);
  if (!variable)
    throw new CarambaError(`no variable ${path} among ${[...model.variables().keys()].join(", ")}`, { code: "test" });
  const values = (await variable.read()) as Float32Array;
  change(values);
  variable.write(values);
}

/**
 * A model whose logits after token t are `logits[t]` whatever came before: a one-hot embedding, attention that adds
 * nothing, and the table as head.
 */
export async function bigramModel(logits: readonly (readonly number[])[]): Promise<Model> {
  const size = logits.length;
  const model = buildModel({
    embedder: { type: "token", vocabSize: size, dModel: size },
    topology: {
      type: "StackedTopology",
      layers: [
        {
          type: "ResidualTopology",
          layers: [{ type: "AttentionLayer", dModel: size, nHeads: 1, attnDim: 2, bias: false }],
        },
        { type: "LinearLayer", dIn: size, dOut: size, bias: false },
      ],
    },
  });
  for (const path of model.variables().keys())
    await edit(model, path, (values) => {
      if (path === "embedder.weight") values.set(values.map((_, i) => (i % (size + 1) === 0 ? 1 : 0)));
      else if (path.includes("out_proj")) values.fill(0);
      else if (values.length === size * size) values.set(logits.flat());
    });
  return model;
}
