// A merged model computes what the one with LoRA layers does, and is what its config says: a plain model.
import { frozenParameters, modelParameters, type NodeConfig, topologyConfig } from "@caramba/config";
import { compile, input, Philox, ReferenceBackend } from "@caramba/tensor";
import { expect, it } from "vitest";
import { parameterCount } from "./accounting.ts";
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
  const trained = 42 + 2 * (6 + 2 * (6 + 9) + 2 * (9 + 6)) + 8 * (6 + 7);
  expect([parameterCount(model), modelParameters(model.config)]).toEqual([trained, trained]);
  const frozen = 2 * (6 * 9 + 9 + 9 * 6 + 6) + 42;
  const all = [...model.variables().values()].reduce((sum, variable) => sum + variable.size, 0);
  expect([all - trained, frozenParameters(model.config)]).toEqual([frozen, frozen]);
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

it.each([true, false])(
  "a LoRA head is a head, where its width is the vocabulary's and the table's, lastOnly %s",
  async (lastOnly) => {
    const model = buildModel({
      embedder: { type: "token", vocabSize: 6, dModel: 6 },
      topology: { type: "StackedTopology", layers: [{ type: "LoRALinearLayer", dIn: 6, dOut: 6, r: 1 }] },
    });
    const [table, , , a, b] = [...model.variables().values()];
    a?.write(Float32Array.from({ length: 6 }, (_, i) => i - 2));
    b?.write(Float32Array.from({ length: 6 }, (_, i) => 0.5 * i));
    const [found, merged] = await Promise.all(
      [model, await mergeLora(model)].map(async (m) => {
        const y = m.forward(input("ids", [1, 4], "int32"), { lastOnly });
        expect(y.shape).toEqual([1, lastOnly ? 1 : 4, 6]);
        const program = await compile({ outputs: { y } }, { backend });
        return (await program.read({ ids: Int32Array.of(1, 5, 0, 3) }))["y"] as Float32Array;
      }),
    );
    const [e, w] = (await Promise.all(
      [table, [...model.variables().values()][1]].map((v) => v?.read()),
    )) as Float32Array[];
    const expected = (lastOnly ? [3] : [1, 5, 0, 3]).flatMap((id) =>
      Array.from({ length: 6 }, (_, j) => {
        let sum = 0;
        for (let i = 0; i < 6; i++)
          sum += (e?.[id * 6 + i] as number) * ((w?.[i * 6 + j] as number) + 16 * (i - 2) * 0.5 * j);
        return sum;
      }),
    );
    for (const y of [found, merged])
      y?.forEach((v, i) => {
        expect(v).toBeCloseTo(expected[i] as number, 4);
      });
  },
);
