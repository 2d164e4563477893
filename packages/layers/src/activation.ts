// Elementwise functions by name. GELU: Hendrycks and Gimpel, "Gaussian error linear units", 2016; its tanh form is
// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
import type { Activation } from "@caramba/config";
import { add, gelu, maximum, mul, sigmoid, silu, type Tensor, tanh } from "@caramba/tensor";

function geluTanh(x: Tensor): Tensor {
  const cubic = mul(x, add(mul(mul(x, x), 0.044715), 1));
  return mul(mul(x, 0.5), add(tanh(mul(cubic, Math.sqrt(2 / Math.PI))), 1));
}

const functions: Readonly<Record<Activation, (x: Tensor) => Tensor>> = {
  silu,
  gelu,
  gelu_tanh: geluTanh,
  // Zero first: at zero the gradient is zero, as in PyTorch.
  relu: (x) => maximum(0, x),
  sigmoid,
  tanh,
};

/** An activation of x, elementwise. */
export function activate(name: Activation, x: Tensor): Tensor {
  return functions[name](x);
}
