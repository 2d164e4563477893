// An exported model, run by ONNX Runtime from its files alone, against the reference backend on the same weights.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { llamaModel, type NodeInput } from "@caramba/config";
import { generate } from "@caramba/infer";
import { buildModel, type Model } from "@caramba/model";
import { compile, input, ReferenceBackend } from "@caramba/tensor";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, expect, it } from "vitest";
import { exportOnnx } from "./export-onnx.ts";

const folder = await mkdtemp(join(tmpdir(), "caramba-onnx-"));
afterAll(() => rm(folder, { recursive: true }));

const dModel = 32;
const ssm: NodeInput = { type: "SSMLayer", dModel, dState: 4 };
const gru: NodeInput = { type: "RNNLayer", cell: "gru", inputSize: dModel, hiddenSize: dModel };
const tiny = (attention: object, tiedEmbeddings: boolean, feedForward: number | readonly NodeInput[] = 48): Model => {
  const heads = { nHeads: 4, ...attention };
  const sizes = { vocabSize: 61, dModel, layers: 2, feedForward, tiedEmbeddings };
  return buildModel(llamaModel({ ...sizes, attention: heads }), { seed: 5 });
};

const models = {
  "grouped queries, tied": tiny({ mode: "gqa", nKvHeads: 2 }, true),
  "decoupled, gated, window": tiny(
    { mode: "decoupled", nKvHeads: 2, semDim: 8, geoDim: 16, decoupledGate: true, localWindow: 5 },
    false,
  ),
  "experts, low rank, convolution": tiny({}, true, [
    { type: "Conv1dLayer", dModel },
    { type: "MoELayer", dModel, dFf: 24, numExperts: 4 },
    { type: "LoRALinearLayer", dIn: dModel, dOut: dModel },
    { type: "GLULayer", dModel, dFf: 24, activation: "gelu_tanh" },
    { type: "DenseLayer", dIn: dModel, dOut: dModel, normalization: "layer_norm", activation: "gelu" },
  ]),
  "state space, recurrent cells, a cycle": tiny({}, true, [
    { type: "SSMLayer", dModel, dState: 4 },
    {
      type: "CyclicTopology",
      iterations: 2,
      layers: [{ type: "RNNLayer", cell: "gru", inputSize: dModel, hiddenSize: dModel }],
    },
    { type: "RNNLayer", inputSize: dModel, hiddenSize: 40, projSize: dModel },
  ]),
  "attention and states in cycles, branches, a graph and a recurrence": tiny({}, true, [
    {
      type: "CyclicTopology",
      iterations: 2,
      layers: [
        { type: "AttentionLayer", dModel, nHeads: 4 },
        { type: "CyclicTopology", iterations: 2, layers: [ssm] },
      ],
    },
    { type: "BranchingTopology", layers: [{ type: "AttentionLayer", dModel, nHeads: 2 }, gru] },
    { type: "LinearLayer", dIn: 2 * dModel, dOut: dModel },
    {
      type: "GraphTopology",
      nodes: [
        { id: "sum", op: "add", in: ["a", "s", "x"], out: "y" },
        { id: "look", op: "AttentionLayer", in: "x", out: "a", config: { dModel, nHeads: 4 } },
        {
          id: "state",
          op: "RNNLayer",
          in: "x",
          out: "s",
          repeat: 2,
          config: { inputSize: dModel, hiddenSize: dModel },
        },
      ],
      output: "y",
    },
    { type: "RecurrentTopology", layers: [ssm, { type: "Conv1dLayer", dModel, kernelSize: 3 }] },
  ]),
};

it.each(Object.entries(models))("%s: ONNX Runtime computes the same logits from the files", async (name, model) => {
  const place = join(folder, name);
  const { files, weightBytes } = await exportOnnx(model, place);
  expect(files.map((file) => file.slice(place.length + 1))).toEqual(["model.onnx.data", "model.onnx"]);
  expect((await readFile(files[0] as string)).length).toBe(weightBytes);
  const bytes = await readFile(files[1] as string);
  // Nothing but the standard's operators.
  expect(bytes.includes("com.microsoft")).toBe(false);
  const session = await InferenceSession.create(files[1] as string, { graphOptimizationLevel: "disabled" });
  expect([session.inputNames, session.outputNames]).toEqual([["tokens"], ["logits"]]);
  for (const [batch, length] of [
    [1, 1],
    [2, 9],
  ] as const) {
    const ids = Int32Array.from({ length: batch * length }, (_, i) => (i * 17 + 3) % 61);
    const { logits } = await session.run({ tokens: new Tensor("int32", ids, [batch, length]) });
    const program = await compile(
      { outputs: { logits: model.forward(input("tokens", [batch, length], "int32")) } },
      { backend: new ReferenceBackend() },
    );
    const expected = (await program.read({ tokens: ids }))["logits"] as Float32Array;
    expect(logits?.dims).toEqual([batch, length, 61]);
    const found = logits?.data as Float32Array;
    const apart = Math.max(...expected.map((value, i) => Math.abs(value - (found[i] as number))));
    expect(apart).toBeLessThan(1e-5);
  }
  await session.release();
});

it.each(Object.entries(models))("%s: greedy generation with a cache, from the files alone", async (name, model) => {
  const place = join(folder, `${name} with cache`);
  const { files, weightBytes } = await exportOnnx(model, place, { withCache: true });
  expect(files.map((file) => file.slice(place.length + 1))).toEqual([
    "model.onnx.data",
    "model.onnx",
    "prefill.onnx",
    "decode.onnx",
  ]);
  expect((await readFile(files[0] as string)).length).toBe(weightBytes);
  const options = { graphOptimizationLevel: "disabled" } as const;
  const prefill = await InferenceSession.create(files[2] as string, options);
  const decode = await InferenceSession.create(files[3] as string, options);

  const { inputMetadata } = decode as { inputMetadata?: readonly { name: string; shape?: readonly unknown[] }[] };
  const heads = inputMetadata?.find(({ name: found }) => found === "past.0.k")?.shape?.[1];
  if (inputMetadata) expect(heads).toMatch(/^[24]\*batch$/);

  const prompts = [
    [3, 14, 15, 9, 26, 5, 35],
    [27, 18, 28, 18, 2, 8, 45],
  ];
  const newTokens = 12;
  const batch = prompts.length;
  const length = (prompts[0] as number[]).length;
  const int = (values: number[], dims: number[]) => new Tensor("int32", Int32Array.from(values), dims);
  const argmax = (logits: Float32Array, row: number): number => {
    const values = logits.subarray(row * 61, (row + 1) * 61);
    return values.indexOf(Math.max(...values));
  };
  const positions = (from: number, count: number) =>
    int(
      Array.from({ length: count }, (_, i) => from + i),
      [count],
    );
  let outputs = await prefill.run({ tokens: int(prompts.flat(), [batch, length]), positions: positions(0, length) });
  const past = new Map<string, { rows: number; width: number[]; data: number[] }>();
  const found: number[][] = prompts.map(() => []);
  for (let step = 0; step < newTokens; step++) {
    for (const [output, value] of Object.entries(outputs)) {
      if (output === "logits") continue;
      const key = output.replace(/^new/, "past");
      const { rows, data } = past.get(key) ?? { rows: 0, data: [] };
      const [more = 0, ...width] = value.dims;
      // A state takes the place of the one before, rows are added to the others.
      if (key.startsWith("past.state.")) {
        past.set(key, { rows: more, width: [...width], data: [...(value.data as Float32Array)] });
        continue;
      }
      past.set(key, { rows: rows + more, width, data: [...data, ...(value.data as Float32Array)] });
    }
    const logits = outputs["logits"]?.data as Float32Array;
    const next = prompts.map((_, row) => argmax(logits, row));
    next.forEach((token, row) => {
      found[row]?.push(token);
    });
    const cached = [...past].map(([key, { rows, width, data }]) => {
      return [key, new Tensor("float32", Float32Array.from(data), [rows, ...width])] as const;
    });
    expect(cached.map(([key]) => key).sort()).toEqual(
      decode.inputNames.filter((input) => input.startsWith("past.")).toSorted(),
    );
    outputs = await decode.run({
      tokens: int(next, [batch, 1]),
      positions: positions(length + step, 1),
      ...Object.fromEntries(cached),
    });
  }
  await prefill.release();
  await decode.release();
  const config = { maxNewTokens: newTokens, temperature: 0, cacheKind: "fp32", maxSeqLen: 64 } as const;
  expect(found).toEqual(await generate(model, prompts, { backend: new ReferenceBackend(), config }));
});

it.each<[string, NodeInput]>([
  ["attention that is not causal", { type: "AttentionLayer", dModel, nHeads: 4, isCausal: false }],
  ["an RNN in both directions", { type: "RNNLayer", inputSize: dModel, hiddenSize: dModel / 2, bidirectional: true }],
])("%s goes out without a cache; with one it is refused, and what is there stays", async (name, layer) => {
  const place = join(folder, name);
  const model = tiny({}, true, [layer]);
  const before = (await exportOnnx(model, place)).files;
  const contents = await Promise.all(before.map((file) => readFile(file)));
  for (const target of [place, join(folder, `${name}, new`)])
    await expect(exportOnnx(model, target, { withCache: true })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("yet to come") as string,
    });
  expect(await Promise.all(before.map((file) => readFile(file)))).toEqual(contents);
  expect((await readdir(folder)).filter((file) => file.startsWith(name))).toEqual([name]);
});
