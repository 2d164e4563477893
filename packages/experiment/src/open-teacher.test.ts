// Models of the families as teachers of a decoupled student: what surgery takes over from each, biases and norms included.
import { fileURLToPath } from "node:url";
import type { AttentionLayerConfig, ModelConfig, NodeConfig } from "@caramba/config";
import { Model } from "@caramba/model";
import { compile, input, ReferenceBackend } from "@caramba/tensor";
import { performSurgery } from "@caramba/trainer";
import { expect, it } from "vitest";
import { openModel } from "./open-teacher.ts";

const parity = fileURLToPath(new URL("../../../fixtures/loader/parity/", import.meta.url));

async function logits(model: Model): Promise<Float32Array> {
  const ids = Int32Array.from({ length: 9 }, (_, i) => (i * 7 + 3) % 48);
  const x = input("ids", [1, ids.length], "int32");
  const program = await compile({ outputs: { y: model.forward(x) } }, { backend: new ReferenceBackend() });
  return (await program.read({ ids }))["y"] as Float32Array;
}

const withAttention = (node: NodeConfig, change: (layer: AttentionLayerConfig) => AttentionLayerConfig): NodeConfig =>
  "layers" in node
    ? ({ ...node, layers: node.layers.map((child) => withAttention(child, change)) } as NodeConfig)
    : node.type === "AttentionLayer"
      ? change(node)
      : node;

/** The model with decoupled attention whose geometric path is as wide as a whole head. */
const studentOf = ({ topology, ...rest }: ModelConfig): ModelConfig => ({
  ...rest,
  topology: withAttention(topology, (layer) => ({
    ...layer,
    // What a teacher's layer does not rotate, the student's keeps with frequencies of 0.
    ropeEnabled: true,
    ...{ mode: "decoupled", semDim: 4 * layer.nHeads, geoDim: layer.attnDim ?? layer.dModel, qkNorm: false },
  })) as ModelConfig["topology"],
});

it.each([
  ["llama2", 1e-4],
  ["llama32", 1e-4],
  ["llama-linear-bias", 1e-4],
  ["qwen2", 1e-4],
  ["mistral", 1e-4],
  ["smollm3", 1e-4],
  // Its norms are replaced by their mean effect.
  ["qwen3", 1],
])("%s gives a student of full width its logits", async (name, bound) => {
  const { model: teacher } = await openModel(`${parity}${name}`, null);
  const expected = await logits(teacher);
  const errors: number[] = [];
  for (const init of ["svd", "random"] as const) {
    const student = new Model(studentOf(teacher.config), 3);
    await performSurgery(teacher, student, { init });
    const found = await logits(student);
    const square = found.reduce((sum, value, i) => sum + (value - (expected[i] as number)) ** 2, 0);
    errors.push(Math.sqrt(square / found.length));
  }
  const [svd, random] = errors as [number, number];
  expect(svd).toBeLessThan(bound);
  expect(svd).toBeLessThan(0.5 * random);
});
