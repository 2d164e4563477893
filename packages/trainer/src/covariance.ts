// Second moments of what attention layers are fed, from real tokens: surgery weighs errors by them.
import type { TokenBatches } from "@caramba/data";
import { AttentionLayer, type Module } from "@caramba/layers";
import { type Model, traceOutputs } from "@caramba/model";
import { type Backend, broadcastTo, compile, concat, constant, input, matmul, reshape } from "@caramba/tensor";

const hasBias = (module: Module): boolean => module instanceof AttentionLayer && module.config.bias;

/**
 * E[x x^T] [D, D] of every attention layer's input, over `count` batches; for layers with biases [D + 1, D + 1], with
 * x a 1 longer, so that their means are known too.
 */
export async function attentionCovariances(
  model: Model,
  backend: Backend,
  batches: TokenBatches,
  count: number,
): Promise<Float64Array[]> {
  const { batchSize, blockSize } = batches;
  const tokens = input("tokens", [batchSize, blockSize], "int32");
  const traced = traceOutputs(model, tokens, "**:AttentionLayer");
  const tokensPerBatch = batchSize * blockSize;
  const ones = broadcastTo(constant(Float32Array.of(1), [1, 1]), [tokensPerBatch, 1]);
  const outputs = Object.fromEntries(
    traced.map(({ input: x, module }, i) => {
      const plain = reshape(x, [-1, x.shape[2] as number]);
      const rows = hasBias(module) ? concat([plain, ones], 1) : plain;
      return [`c${i}`, matmul(rows, rows, { transA: true, alpha: 1 / tokensPerBatch })];
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
