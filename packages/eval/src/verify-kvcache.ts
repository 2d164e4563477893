// The kvcache verification: bytes of both models' caches, counted from the layers that run, under a storage policy.
// A quantised number takes its bits plus its share of a 2-byte scale per block; the newest residual_len tokens are kept
// in fp16 besides.
import type { KVCachePolicyConfig, KVCacheTensorConfig, KVCacheVerifyConfig } from "@caramba/config";
import { AttentionLayer } from "@caramba/layers";
import { type Model, modelMemory, stateBytes } from "@caramba/model";
import { CarambaError } from "@caramba/tensor";
import { conclude, type VerificationResult, violationsOf } from "./result.ts";

type Part = keyof KVCachePolicyConfig;

const spelling: Readonly<Record<Part, string>> = { k: "k", kSem: "k_sem", kGeo: "k_geo", v: "v" };
const bits: Readonly<Record<KVCacheTensorConfig["kind"], number>> = { fp32: 32, fp16: 16, q8_0: 8, q4_0: 4, nf4: 4 };
const fp16: KVCacheTensorConfig = { kind: "fp16", qblock: 32, residualLen: 0 };

/** Bytes of `tokens` tokens of `elements` numbers each. */
function storedBytes(tensor: KVCacheTensorConfig, elements: number, tokens: number): number {
  const plain = (tokens * elements * bits[tensor.kind]) / 8;
  if (tensor.kind === "fp32" || tensor.kind === "fp16") return plain;
  const scales = (tokens * elements * 2) / tensor.qblock;
  return plain + scales + Math.min(tokens, tensor.residualLen) * elements * 2;
}

/** Attention layers in order of execution: one that a cycle calls twice has two caches. */
const attentionCalls = (model: Model): AttentionLayer[] =>
  modelMemory(model).rows.flatMap(({ layer }) => (layer instanceof AttentionLayer ? [layer] : []));

/** Numbers cached per token and layer, by the policy's part names. */
function partsOf(model: Model): Partial<Record<Part, number>>[] {
  return attentionCalls(model).map(({ config, geometry }) => {
    const { nKvHeads, headDim, semHeadDim, geoHeadDim, vHeadDim } = geometry;
    const v = nKvHeads * vHeadDim;
    return config.mode === "decoupled"
      ? { kSem: nKvHeads * semHeadDim, kGeo: nKvHeads * geoHeadDim, v }
      : { k: nKvHeads * headDim, v };
  });
}

/**
 * Cache bytes of one sequence of `tokens` tokens over all layers, K and V, under a policy (unnamed parts: fp16), and the
 * float32 states of recurrent layers, which no policy touches.
 * Errors: CarambaError `cache-policy` when the policy names a part that no layer of the model has.
 */
export function policyBytes(model: Model, policy: KVCachePolicyConfig, tokens: number): number {
  const layers = partsOf(model);
  for (const part of Object.keys(spelling) as Part[])
    if (policy[part] && !layers.some((layer) => layer[part] !== undefined))
      throw new CarambaError(`the cache policy names ${spelling[part]}, which no layer of the model stores`, {
        code: "cache-policy",
        remedy: "standard and GQA layers store k and v, decoupled ones k_sem, k_geo and v",
      });
  return layers.reduce(
    (sum, layer) =>
      sum + Object.entries(layer).reduce((s, [part, n]) => s + storedBytes(policy[part as Part] ?? fp16, n, tokens), 0),
    stateBytes(model),
  );
}

/** What to verify. */
export interface VerifyKVCacheOptions {
  readonly teacher: Model;
  readonly student: Model;
  readonly config: KVCacheVerifyConfig;
}

/**
 * Cache sizes of both at batch_size x max_seq_len. Metrics: teacher_mb, student_mb (2^20 bytes), reduction_ratio
 * (teacher / student), teacher_bytes_per_token, student_bytes_per_token.
 * Errors: CarambaError `cache-policy`, `verify-shape` (n_layers is not the model's); `verify-failed` with failFast.
 */
export function verifyKVCache({ teacher, student, config }: VerifyKVCacheOptions): VerificationResult {
  const { nLayers, batchSize, maxSeqLen, minReductionRatio, failFast } = config;
  for (const [who, model] of Object.entries({ teacher, student })) {
    const layers = attentionCalls(model).length;
    if (nLayers !== null && nLayers !== layers)
      throw new CarambaError(`kvcache verification: n_layers is ${nLayers}, but the ${who} has ${layers}`, {
        code: "verify-shape",
        remedy: "leave n_layers out; it is read from the models",
      });
  }
  const teacherBytes = batchSize * policyBytes(teacher, config.teacher, maxSeqLen);
  const studentBytes = batchSize * policyBytes(student, config.student, maxSeqLen);
  const ratio = teacherBytes / studentBytes;
  const violations = violationsOf([
    {
      name: "min_reduction_ratio",
      metric: "reduction ratio",
      value: ratio,
      limit: minReductionRatio,
      kind: "at least",
    },
  ]);
  const metrics = {
    teacher_mb: teacherBytes / 2 ** 20,
    student_mb: studentBytes / 2 ** 20,
    reduction_ratio: ratio,
    teacher_bytes_per_token: teacherBytes / batchSize / maxSeqLen,
    student_bytes_per_token: studentBytes / batchSize / maxSeqLen,
  };
  return conclude({ type: "kvcache", passed: violations.length === 0, metrics, violations }, failFast);
}
