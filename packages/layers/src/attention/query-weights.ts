// What multiplies queries before they meet keys: the gate between the paths of decoupled attention, and the temperature.
// Both change nothing at their start, gamma = 0 and s = 0.
//
//   gate         g_h = sigmoid(gamma_h), or sigmoid(gamma_h + (x W)_h) per token;  Qs <- 2 g Qs,  Qg <- (2 - 2 g) Qg
//   temperature  Q <- exp(clamp(s_h, -8, 8)) Q, for all paths of a head
import { add, type Dim, exp, maximum, minimum, mul, reshape, sigmoid, type Tensor, transpose } from "@caramba/tensor";

/** Bound of the temperature's logarithm: factors from 1/2981 to 2981. */
const limit = 8;

/**
 * Twice the gate: [H, 1, 1] from gamma [H], or [B, H, T, 1] with logits of the tokens [B, T, H]. Multiplies semantic
 * queries [B, H, T, ds]; 2 minus it multiplies geometric ones.
 */
export function twiceGate(gamma: Tensor, tokens: Tensor | null): Tensor {
  if (!tokens) return reshape(mul(sigmoid(gamma), 2), [gamma.shape[0] as Dim, 1, 1]);
  const [b, t, h] = tokens.shape as [Dim, Dim, Dim];
  return reshape(transpose(mul(sigmoid(add(tokens, gamma)), 2), [0, 2, 1]), [b, h, t, 1]);
}

/** Factor of queries [B, H, T, d] from its clamped logarithm s [H]: [H, 1, 1]. */
export function temperatureFactor(s: Tensor): Tensor {
  return reshape(exp(minimum(maximum(s, -limit), limit)), [s.shape[0] as Dim, 1, 1]);
}
