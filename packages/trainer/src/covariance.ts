// Second moments of what attention layers are fed, from real tokens: surgery weighs errors by them.
import type { TokenBatches } from "@caramba/data";
import { AttentionLayer, type Module } from "@caramba/layers";
import { attentionLayers, type Model, traceOutputs } from "@caramba/model";
import {
  type Backend,
  broadcastTo,
  compile,
  concat,
  constant,
  input,
  matmul,
  reshape,
  type Tensor,
} from "@caramba/tensor";

const hasBias = (module: Module): boolean => module instanceof AttentionLayer && module.config.bias;

/**
 * E[x x^T] [D, D] of every attention layer's input, over `count` batches; for layers with biases [D + 1, D + 1], with
 * x a 1 longer, so that their means are known too. A model without attention has none.
 */
export async function attentionCovariances(
  model: Model,
  backend: Backend,
  batches: TokenBatches,
  count: number,
): Promise<Float64Array[]> {
  const layers = attentionLayers(model);
  if (layers.length === 0) return [];
  const { batchSize, blockSize } = batches;
  const tokens = input("tokens", [batchSize, blockSize], "int32");
  const traced = traceOutputs(model, tokens, "**:AttentionLayer");
  const rowsOf = (module: Module, x: Tensor): Tensor => {
    const plain = reshape(x, [-1, x.shape.at(-1) as number]);
    if (!hasBias(module)) return plain;
    const ones = broadcastTo(constant(Float32Array.of(1), [1, 1]), [plain.shape[0] as number, 1]);
    return concat([plain, ones], 1);
  };
  const outputs = Object.fromEntries(
    layers.map(({ layer }, i) => {
      // A layer that is applied several times in a pass sees the inputs of all its calls.
      const calls = traced.filter(({ module }) => module === layer).map(({ input: x }) => rowsOf(layer, x));
      const rows = calls.length === 1 ? (calls[0] as Tensor) : concat(calls, 0);
      return [`c${i}`, matmul(rows, rows, { transA: true, alpha: 1 / (rows.shape[0] as number) })];
    }),
  );
  const program = await compile({ outputs }, { backend });
  const sums = Object.values(outputs).map(({ shape: [n] }) => new Float64Array((n as number) ** 2));
  for (let step = 0; step < count; step++) {
    const values = await program.read({ tokens: batches.batchAt(step).tokens });
    sums.forEach((sum, i) => {
      values[`c${i}`]?.forEach((v, j) => {
        sum[j] = (sum[j] as number) + v / count;
      });
    });
  }
  program.dispose();
  return sums;
}
