// A merged model computes what the one with LoRA layers does, and is what its config says: a plain model.
import { type NodeConfig, topologyConfig } from "@caramba/config";
import { compile, input, Philox, ReferenceBackend } from "@caramba/tensor";
import { expect, it } from "vitest";
import { mergeLora } from "./merge-lora.ts";
import { buildModel, type Model } from "./model.ts";

const backend = new ReferenceBackend();

async function logits(model: Model): Promise<Float32Array> {
  const y = model.forward(input("ids", [1, 4], "int32"));
  const program = await compile({ outputs: { y } }, { backend });
  return (await program.read({ ids: Int32Array.of(1, 5, 0, 3) }))["y"] as Float32Array;
}

it("merges every layer, also in repeated blocks, and leaves the model as it was", async () => {
  const lora = (dIn: number, dOut: number) => ({ type: "LoRALinearLayer", dIn, dOut, r: 2, dropout: 0.1 }) as const;
  const model = buildModel(
    {
      embedder: { type: "token", vocabSize: 7, dModel: 6 },
      tiedEmbeddings: false,
      topology: {
        type: "StackedTopology",
        layers: [
          {
            type: "NestedTopology",
            repeat: 2,
            layers: [
              { type: "ResidualTopology", layers: [{ type: "RMSNormLayer", dModel: 6 }, lora(6, 9), lora(9, 6)] },
            ],
          },
          { type: "LoRALinearLayer", dIn: 6, dOut: 7, bias: false },
        ],
      },
    },
    { seed: 4 },
  );
  const random = new Philox(2);
  const values = new Map<string, Float32Array>();
  for (const [path, variable] of model.variables()) {
    const data = Float32Array.from({ length: variable.size }, () => random.normal());
    values.set(path, data.slice());
    variable.write(data);
  }
  const expected = await logits(model);
  const merged = await mergeLora(model);
  const found = await logits(merged);
  const scale = Math.max(...expected.map(Math.abs));
  found.forEach((v, i) => {
    expect(Math.abs(v - (expected[i] as number))).toBeLessThan(1e-5 * scale);
  });
  const linear = (dIn: number, dOut: number, bias = true): NodeConfig => ({ type: "LinearLayer", dIn, dOut, bias });
  expect(merged.config.topology).toEqual(
    topologyConfig({
      type: "StackedTopology",
      layers: [
        {
          type: "NestedTopology",
          repeat: 2,
          layers: [
            { type: "ResidualTopology", layers: [{ type: "RMSNormLayer", dModel: 6 }, linear(6, 9), linear(9, 6)] },
          ],
        },
        linear(6, 7, false),
      ],
    }),
  );
  expect(merged.modules().some(({ module }) => module.type === "LoRALinearLayer")).toBe(false);
  expect([...merged.variables().values()].every((v) => v.trainable)).toBe(true);
  for (const [path, variable] of model.variables()) expect(await variable.read(), path).toEqual(values.get(path));
});
