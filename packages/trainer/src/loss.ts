// Losses of language-model training: cross-entropy, and distillation of a teacher's logits (Hinton et al., "Distilling
// the knowledge in a neural network", 2015): T^2 KL(teacher_T || student_T), mean over tokens.
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

/** Loss and its parts over inputs `tokens` int32 [B, T] and `targets` int32 [B * T]; all scalars. */
export function languageLoss(
  model: Model,
  options: LanguageLossOptions,
): { readonly loss: Tensor; readonly parts: Readonly<Record<string, Tensor>> } {
  const { batchSize, blockSize, kdWeight, kdTemperature, teacher } = options;
  const tokens = input("tokens", [batchSize, blockSize], "int32");
  const targets = input("targets", [batchSize * blockSize], "int32");
  const flat = (logits: Tensor) => reshape(logits, [batchSize * blockSize, logits.shape[2] as number]);
  const logits = flat(model.forward(tokens, { training: true }));
  const ce = mean(crossEntropy(logits, targets));
  if (!teacher || kdWeight === 0) return { loss: ce, parts: {} };
  const soften = (x: Tensor) => logSoftmax(mul(x, 1 / kdTemperature));
  const target = soften(flat(teacher.forward(tokens)));
  const divergence = mul(mean(sum(mul(exp(target), sub(target, soften(logits))), [1])), kdTemperature ** 2);
  return { loss: add(ce, mul(divergence, kdWeight)), parts: { ceLoss: ce, kdLoss: divergence } };
}
