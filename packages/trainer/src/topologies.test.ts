// Training and surgery through every topology: what a cycle or a graph holds is trained, checkpointed, measured and
// replaced like anything else.
import { type ModelConfig, type NodeInput, teacherConfig } from "@caramba/config";
import { buildModel, Model, traceOutputs } from "@caramba/model";
import { compile, input, ReferenceBackend } from "@caramba/tensor";
import { expect, it } from "vitest";
import { tinyRun, tokens, vocabSize } from "../test-support/tiny-run.ts";
import { attentionCovariances } from "./covariance.ts";
import type { TrainEvent } from "./events.ts";
import { runTraining } from "./run.ts";
import { checkpointedSegments } from "./run-language.ts";
import { performSurgery } from "./surgery.ts";

const backend = new ReferenceBackend();
const d = 16;
const norm = { type: "RMSNormLayer", dModel: d } as const;
const residual = (...layers: NodeInput[]): NodeInput => ({ type: "ResidualTopology", layers: [norm, ...layers] });

/** A graph of a cycle, a repeated block, branches and a recurrence, each with attention or a state. */
function everything(attention: object = {}): Model {
  const look = { type: "AttentionLayer", dModel: d, nHeads: 2, ...attention } as NodeInput;
  return buildModel(
    {
      embedder: { type: "token", vocabSize, dModel: d },
      topology: {
        type: "GraphTopology",
        nodes: [
          { id: "sum", op: "add", in: ["c", "e"], out: "y" },
          {
            id: "cycle",
            op: "CyclicTopology",
            in: "x",
            out: "a",
            config: { iterations: 2, layers: [residual(look), residual({ type: "LinearLayer", dIn: d, dOut: d })] },
          },
          { id: "block", op: "NestedTopology", in: "a", out: "b", repeat: 2, config: { layers: [residual(look)] } },
          {
            id: "join",
            op: "ResidualTopology",
            in: "b",
            out: "c",
            config: {
              layers: [
                { type: "BranchingTopology", layers: [look, { type: "LinearLayer", dIn: d, dOut: 8 }] },
                { type: "LinearLayer", dIn: d + 8, dOut: d },
              ],
            },
          },
          {
            id: "memory",
            op: "RecurrentTopology",
            in: "c",
            out: "e",
            config: { layers: [{ type: "RNNLayer", cell: "gru", inputSize: d, hiddenSize: d }] },
          },
        ],
        output: "y",
      },
    },
    { seed: 3 },
  );
}

async function train(model: Model, steps: number, extra: object = {}): Promise<number[]> {
  const events: TrainEvent[] = [];
  const settings = { phase: "standard" as const, lr: 1e-2, batchSize: 4, blockSize: 12, ...extra };
  await runTraining(tinyRun({ backend, model, train: settings, steps, onEvent: (event) => events.push(event) }));
  return events.map(({ loss }) => loss);
}

it("every weight learns", async () => {
  const model = everything();
  const before = new Map<string, ArrayLike<number>>();
  for (const [path, variable] of model.variables()) before.set(path, (await variable.read()).slice());
  const losses = await train(model, 40);
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  expect(mean(losses.slice(-5))).toBeLessThan(0.75 * mean(losses.slice(0, 5)));
  for (const [path, variable] of model.variables()) expect(await variable.read(), path).not.toEqual(before.get(path));
});

it("activation checkpointing acts on nodes and passes, and changes nothing", async () => {
  const [plain, again] = [
    await train(everything(), 3),
    await train(everything(), 3, { activationCheckpointing: true }),
  ];
  again.forEach((loss, i) => {
    expect(loss).toBeCloseTo(plain[i] as number, 5);
  });
  const model = everything();
  const segmentOf = checkpointedSegments(
    model,
    tinyRun({ backend, model, train: { phase: "standard", activationCheckpointing: true }, steps: 1 }).train,
  );
  const segments = new Set(
    traceOutputs(model, input("ids", [1, 4], "int32"), "**:AttentionLayer").map(({ output }) =>
      segmentOf?.(output.scope),
    ),
  );
  expect([...segments]).toEqual([
    "topology.nodes.cycle.pass.0.layers.0",
    "topology.nodes.cycle.pass.1.layers.0",
    "topology.nodes.block__0.layers.0",
    "topology.nodes.block__1.layers.0",
    "topology.nodes.join.layers.0",
  ]);
});

it("second moments of a layer in a cycle are those of all its calls", async () => {
  const model = everything();
  const { batches } = tinyRun({ backend, model, train: { phase: "standard", batchSize: 2, blockSize: 12 }, steps: 1 });
  const found = await attentionCovariances(model, backend, batches, 1);
  expect(found).toHaveLength(4);
  const calls = traceOutputs(model, input("tokens", [2, 12], "int32"), "**.cycle.**:AttentionLayer");
  const outputs = Object.fromEntries(calls.map(({ input: x }, i) => [`x${i}`, x]));
  const program = await compile({ outputs }, { backend });
  const xs = await program.read({ tokens: batches.batchAt(0).tokens });
  expect(Object.keys(xs)).toHaveLength(2);
  for (let i = 0; i < d; i++)
    for (let j = 0; j < d; j++) {
      let total = 0;
      for (const x of Object.values(xs))
        for (let row = 0; row < 24; row++) total += (x[row * d + i] as number) * (x[row * d + j] as number);
      expect((found[0] as Float64Array)[i * d + j]).toBeCloseTo(total / 48, 4);
    }
});

it("surgery at full width keeps the model's function, in every topology", async () => {
  const decoupled = { mode: "decoupled", semDim: d, geoDim: d };
  const student = everything(decoupled);
  const teacher = new Model(teacherConfig(student.config as ModelConfig), 8);
  const { batches } = tinyRun({
    backend,
    model: teacher,
    train: { phase: "standard", batchSize: 2, blockSize: 12 },
    steps: 1,
  });
  const covariances = await attentionCovariances(teacher, backend, batches, 2);
  const reports = await performSurgery(teacher, student, { covariances });
  expect(reports.map(({ path }) => path)).toEqual([
    "topology.nodes.cycle.layers.0.layers.1",
    "topology.nodes.block__0.layers.0.layers.1",
    "topology.nodes.block__1.layers.0.layers.1",
    "topology.nodes.join.layers.0.layers.0",
  ]);
  const ids = input("ids", [1, 12], "int32");
  const program = await compile({ outputs: { a: teacher.forward(ids), b: student.forward(ids) } }, { backend });
  const { a, b } = await program.read({ ids: tokens.slice(0, 12) });
  expect(Math.max(...Array.from(a as Float32Array, Math.abs))).toBeGreaterThan(0.01);
  a?.forEach((value, i) => {
    expect(b?.[i]).toBeCloseTo(value, 4);
  });
});

it("a student without attention takes over its teacher whole", async () => {
  const make = (seed: number) =>
    buildModel(
      {
        embedder: { type: "token", vocabSize, dModel: d },
        topology: { type: "StackedTopology", layers: [residual({ type: "SSMLayer", dModel: d, dState: 2 }), norm] },
      },
      { seed },
    );
  const [teacher, student] = [make(1), make(2)];
  const { batches } = tinyRun({
    backend,
    model: teacher,
    train: { phase: "standard", batchSize: 2, blockSize: 12 },
    steps: 1,
  });
  const covariances = await attentionCovariances(teacher, backend, batches, 2);
  expect(covariances).toEqual([]);
  expect(await performSurgery(teacher, student, { covariances })).toEqual([]);
  for (const [path, variable] of student.variables())
    expect(await variable.read(), path).toEqual(await teacher.variables().get(path)?.read());
});
