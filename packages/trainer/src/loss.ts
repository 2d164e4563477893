// Losses of language-model training: cross-entropy; distillation of a teacher's logits (Hinton et al., "Distilling the
// knowledge in a neural network", 2015): T^2 KL(teacher_T || student_T), mean over tokens; and the terms that layers ask
// for, such as the load balancing of experts.
import type { Model } from "@caramba/model";
import { add, crossEntropy, exp, input, logSoftmax, mean, mul, reshape, sub, sum, type Tensor } from "@caramba/tensor";

/** What the loss is made of. */
export interface LanguageLossOptions {
  readonly batchSize: number;
  readonly blockSize: number;
  /** Weight of the distillation term; 0: none. */
  readonly kdWeight: number;
  readonly kdTemperature: number;
  readonly teacher: Model | null;
}

/**
 * Loss and its parts over inputs `tokens` int32 [B, T] and `targets` int32 [B * T]; all scalars. Where the loss is more
 * than cross-entropy, `ceLoss` is that; `kdLoss` is the divergence without its weight, `auxLoss` the sum of the layers'
 * terms, which carry theirs.
 */
export function languageLoss(
  model: Model,
  options: LanguageLossOptions,
): { readonly loss: Tensor; readonly parts: Readonly<Record<string, Tensor>> } {
  const { batchSize, blockSize, kdWeight, kdTemperature, teacher } = options;
  const tokens = input("tokens", [batchSize, blockSize], "int32");
  const targets = input("targets", [batchSize * blockSize], "int32");
  const flat = (logits: Tensor) => reshape(logits, [batchSize * blockSize, logits.shape[2] as number]);
  const terms: Tensor[] = [];
  const logits = flat(model.forward(tokens, { training: true, onLoss: (_path, term) => terms.push(term) }));
  const ceLoss = mean(crossEntropy(logits, targets));
  let loss = ceLoss;
  const parts: Record<string, Tensor> = {};
  if (terms.length > 0) {
    parts["auxLoss"] = terms.reduce((a, b) => add(a, b));
    loss = add(loss, parts["auxLoss"]);
  }
  if (teacher && kdWeight !== 0) {
    parts["kdLoss"] = distillation(logits, flat(teacher.forward(tokens)), kdTemperature);
    loss = add(loss, mul(parts["kdLoss"], kdWeight));
  }
  return { loss, parts: loss === ceLoss ? {} : { ceLoss, ...parts } };
}

/** T^2 KL(teacher || student) of logits [N, V], mean over rows. */
function distillation(logits: Tensor, teacher: Tensor, temperature: number): Tensor {
  const soften = (x: Tensor) => logSoftmax(mul(x, 1 / temperature));
  const target = soften(teacher);
  return mul(mean(sum(mul(exp(target), sub(target, soften(logits))), [1])), temperature ** 2);
}
