// Cross-entropy and distillation against loops in float64, and their gradient by the closed form p - q.
import { buildModel, type Model } from "@caramba/model";
import { compile, grad, ReferenceBackend } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { languageLoss } from "./loss.ts";

const backend = new ReferenceBackend();
const [v, b, t] = [5, 2, 3];

/** A model whose logits are rows of its table, chosen by token: row of W for every id. */
const bigram = (seed: number): Model =>
  buildModel(
    {
      embedder: { type: "token", vocabSize: v, dModel: 4 },
      tiedEmbeddings: false,
      topology: { type: "StackedTopology", layers: [{ type: "LinearLayer", dIn: 4, dOut: v }] },
    },
    { seed },
  );

const tokens = Int32Array.of(0, 1, 2, 3, 4, 1);
const targets = Int32Array.of(1, 2, 0, 4, 1, 3);

async function logitsOf(model: Model): Promise<number[][]> {
  const [table, w, bias] = (await Promise.all([...model.variables().values()].map((x) => x.read()))) as Float32Array[];
  return [...tokens].map((id) =>
    Array.from({ length: v }, (_, j) => {
      let sum = bias?.[j] as number;
      for (let i = 0; i < 4; i++) sum += (table?.[id * 4 + i] as number) * (w?.[i * v + j] as number);
      return sum;
    }),
  );
}

const softmax = (row: readonly number[], temperature = 1): number[] => {
  const e = row.map((x) => Math.exp(x / temperature));
  return e.map((x) => x / e.reduce((a, c) => a + c, 0));
};
const mean = (values: readonly number[]): number => values.reduce((a, c) => a + c, 0) / values.length;

async function run(student: Model, teacher: Model | null, kdWeight: number, kdTemperature: number) {
  const { loss, parts } = languageLoss(student, { batchSize: b, blockSize: t, kdWeight, kdTemperature, teacher });
  const bias = student.variables().get("topology.layers.0.bias");
  if (!bias) throw new Error("no bias");
  const [gradient] = grad(loss, [bias.tensor]);
  if (!gradient) throw new Error("no gradient");
  const program = await compile({ outputs: { loss, gradient, ...parts } }, { backend });
  return program.read({ tokens, targets });
}

describe("languageLoss", () => {
  it("is the mean cross-entropy of the next token", async () => {
    const student = bigram(1);
    const p = (await logitsOf(student)).map((row) => softmax(row));
    const { loss, gradient } = await run(student, null, 0, 1);
    expect(loss?.[0]).toBeCloseTo(mean(p.map((row, i) => -Math.log(row[targets[i] as number] as number))), 6);
    for (let j = 0; j < v; j++)
      expect(gradient?.[j]).toBeCloseTo(mean(p.map((row, i) => (row[j] as number) - (targets[i] === j ? 1 : 0))), 6);
  });

  it.each([1, 2.5])("adds T^2 KL(teacher || student) at temperature %f", async (temperature) => {
    const [student, teacher] = [bigram(1), bigram(2)];
    const [s, q] = [await logitsOf(student), await logitsOf(teacher)];
    const ce = mean(s.map((row, i) => -Math.log(softmax(row)[targets[i] as number] as number)));
    const kd =
      temperature ** 2 *
      mean(
        s.map((row, i) => {
          const [own, theirs] = [softmax(row, temperature), softmax(q[i] as number[], temperature)];
          return theirs.reduce((sum, p, j) => sum + p * Math.log(p / (own[j] as number)), 0);
        }),
      );
    const found = await run(student, teacher, 0.7, temperature);
    expect(found["ceLoss"]?.[0]).toBeCloseTo(ce, 6);
    expect(found["kdLoss"]?.[0]).toBeCloseTo(kd, 6);
    expect(found["loss"]?.[0]).toBeCloseTo(ce + 0.7 * kd, 6);
    for (let j = 0; j < v; j++) {
      const expected = mean(
        s.map((row, i) => {
          const hard = (softmax(row)[j] as number) - (targets[i] === j ? 1 : 0);
          const soft = (softmax(row, temperature)[j] as number) - (softmax(q[i] as number[], temperature)[j] as number);
          return hard + 0.7 * temperature * soft;
        }),
      );
      expect(found["gradient"]?.[j]).toBeCloseTo(expected, 6);
    }
  });

  it("has no distillation term without weight, and none to learn from itself", async () => {
    const student = bigram(1);
    expect(Object.keys((await run(student, bigram(2), 0, 1)) ?? {})).toEqual(["loss", "gradient"]);
    expect((await run(student, bigram(1), 1, 2))["kdLoss"]?.[0]).toBeCloseTo(0, 12);
  });
});
