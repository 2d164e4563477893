// Second moments of what attention layers are fed, from real tokens: surgery weighs errors by them.
import type { TokenBatches } from "@caramba/data";
import { type Model, traceForward } from "@caramba/model";
import { type Backend, compile, input, matmul, reshape } from "@caramba/tensor";

/** E[x x^T] [D, D] of every attention layer's input, over `count` batches. */
export async function attentionCovariances(
  model: Model,
  backend: Backend,
  batches: TokenBatches,
  count: number,
): Promise<Float64Array[]> {
  const { batchSize, blockSize } = batches;
  const tokens = input("tokens", [batchSize, blockSize], "int32");
  const { traced } = traceForward(model, tokens, (_, module) => module.type === "AttentionLayer");
  const outputs = Object.fromEntries(
    traced.map(({ input: x }, i) => {
      const rows = reshape(x, [-1, x.shape[2] as number]);
      return [`c${i}`, matmul(rows, rows, { transA: true, alpha: 1 / (batchSize * blockSize) })];
    }),
  );
  const program = await compile({ outputs }, { backend });
  const sums = traced.map(({ input: x }) => new Float64Array((x.shape[2] as number) ** 2));
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
