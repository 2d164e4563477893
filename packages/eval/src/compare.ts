// Compares two models inside: attention outputs and logits on the same tokens. Both models are one graph, and only
// three numbers per tensor leave the engine: mean |teacher - student| and the largest |teacher - student|.
import type { CompareVerifyConfig } from "@caramba/config";
import { AttentionLayer } from "@caramba/layers";
import { type Model, traceForward } from "@caramba/model";
import {
  abs,
  type Backend,
  CarambaError,
  compile,
  input,
  max,
  mean,
  shapeEquals,
  shapeText,
  sub,
  type Tensor,
} from "@caramba/tensor";
import { conclude, type Threshold, type VerificationResult, violationsOf } from "./result.ts";
import { type Windows, windowCount } from "./windows.ts";

/** What to compare, on what. */
export interface CompareOptions {
  readonly teacher: Model;
  readonly student: Model;
  readonly backend: Backend;
  /** Text; windows beyond a whole number of batches are left out. */
  readonly windows: Windows;
  /** Windows per batch; default 1. Fewer where there are fewer windows. */
  readonly batchSize?: number;
  readonly config: CompareVerifyConfig;
}

/** Attention outputs or logits, which a config may ask for. */
type Site = "attention" | "logits";

interface Pair {
  readonly site: Site;
  readonly teacher: Tensor;
  readonly student: Tensor;
}

const differ = (message: string): CarambaError =>
  new CarambaError(message, {
    code: "verify-shape",
    remedy: "compare a student with the teacher it was made from; fidelity compares models of any two shapes",
  });

const isAttention = (_path: string, module: unknown): boolean => module instanceof AttentionLayer;

/** Output tensors of both models that are compared, in order. */
function pairsOf({ teacher, student, config }: CompareOptions, tokens: Tensor): Pair[] {
  const [a, b] = config.attention
    ? [traceForward(teacher, tokens, isAttention), traceForward(student, tokens, isAttention)]
    : [
        { output: teacher.forward(tokens), traced: [] },
        { output: student.forward(tokens), traced: [] },
      ];
  if (a.traced.length !== b.traced.length)
    throw differ(`the teacher has ${a.traced.length} attention layers, the student ${b.traced.length}`);
  const pairs: (Pair & { readonly what: string })[] = a.traced.map((one, i) => ({
    site: "attention",
    what: `attention output ${one.path}`,
    teacher: one.output,
    student: (b.traced[i] as (typeof b.traced)[number]).output,
  }));
  if (config.logits) pairs.push({ site: "logits", what: "logits", teacher: a.output, student: b.output });
  for (const { what, teacher: x, student: y } of pairs)
    if (!shapeEquals(x.shape, y.shape))
      throw differ(`${what}: the teacher's shape is ${shapeText(x.shape)}, the student's ${shapeText(y.shape)}`);
  return pairs;
}

/**
 * Mean L1 per (batch, layer) of attention outputs and per batch of logits. Metrics of each site that the config names:
 * `<site>_mean_l1` (mean over batches and layers), `<site>_max_l1` (their largest) and `<site>_worst_element` (the
 * largest difference of any single number).
 * Errors: CarambaError `verify-shape` when the models do not match layer by layer; `verify-failed` with failFast.
 */
export async function compareModels(options: CompareOptions): Promise<VerificationResult> {
  const { backend, windows, config } = options;
  const { blockSize } = windows;
  const count = windowCount(windows);
  const batchSize = Math.min(options.batchSize ?? 1, count);
  const pairs = pairsOf(options, input("tokens", [batchSize, blockSize], "int32"));
  const outputs = Object.fromEntries(
    pairs.flatMap(({ teacher, student }, i) => {
      const distance = abs(sub(teacher, student));
      return [
        [`mean${i}`, mean(distance)],
        [`max${i}`, max(distance)],
      ];
    }),
  );
  const program = await compile({ outputs }, { backend });
  const means: Record<Site, number[]> = { attention: [], logits: [] };
  const worst: Record<Site, number> = { attention: 0, logits: 0 };
  const batches = Math.floor(count / batchSize);
  try {
    for (let batch = 0; batch < batches; batch++) {
      const size = batchSize * blockSize;
      const values = await program.read({ tokens: windows.tokens.slice(batch * size, (batch + 1) * size) });
      pairs.forEach(({ site }, i) => {
        means[site].push((values[`mean${i}`] as Float32Array)[0] as number);
        worst[site] = Math.max(worst[site], (values[`max${i}`] as Float32Array)[0] as number);
      });
    }
  } finally {
    program.dispose();
  }
  const metrics: Record<string, number> = { batches };
  const thresholds: Threshold[] = [];
  for (const site of ["attention", "logits"] as const) {
    const limits = config[site];
    if (!limits) continue;
    const average = means[site].reduce((a, b) => a + b, 0) / means[site].length;
    const largest = Math.max(...means[site]);
    metrics[`${site}_mean_l1`] = average;
    metrics[`${site}_max_l1`] = largest;
    metrics[`${site}_worst_element`] = worst[site];
    thresholds.push(
      { name: "max_mean_l1", metric: `${site}: mean L1`, value: average, limit: limits.maxMeanL1, kind: "at most" },
      { name: "max_max_l1", metric: `${site}: largest L1`, value: largest, limit: limits.maxMaxL1, kind: "at most" },
    );
  }
  const violations = violationsOf(thresholds);
  return conclude({ type: "compare", passed: violations.length === 0, metrics, violations }, config.failFast);
}
