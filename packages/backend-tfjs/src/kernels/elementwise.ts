// Elementwise ops. Most are one TensorFlow.js kernel; the others mend where an engine differs from the reference:
//   int32 division   wasm traps on zero and on -2^31 / -1: both divisors are replaced and their results selected
//   int32 neg        wasm goes through float32, exact only to 2^24: 0 - x instead
//   int32 abs        cpu does so too: the larger of x and -x instead
//   maximum, pow     wasm drops a NaN in the second operand
//   where of bools   wasm's Select copies four bytes per element: written with logic instead
//   cast to bool     wasm stores the truncated number: compared with zero instead

import { CarambaError } from "@caramba/tensor";
import type { Tensor } from "@tensorflow/tfjs-core";
import { type Kernel, type Scratch, sizeOf, type TfDType } from "../scratch.ts";
import { binaryKernel, expand } from "./broadcast.ts";

const binary =
  (kernel: string): Kernel =>
  (s, [a, b], { shape }) =>
    binaryKernel(s, kernel, a as Tensor, b as Tensor, shape);

const unary =
  (kernel: string): Kernel =>
  (s, [x]) =>
    flat(s, kernel, x as Tensor);

/** Unary kernels do not look at the shape: high ranks are hidden from them. */
function flat(s: Scratch, kernel: string, x: Tensor, attrs: Readonly<Record<string, unknown>> = {}): Tensor {
  if (x.shape.length <= 4) return s.run(kernel, { x }, attrs);
  return s.shaped(s.run(kernel, { x: s.shaped(x, [x.size]) }, attrs), x.shape);
}

/** condition ? t : e for equal shapes. */
function select(s: Scratch, condition: Tensor, t: Tensor, e: Tensor): Tensor {
  const all = [condition, t, e].map((x) => s.shaped(x, [x.size])) as [Tensor, Tensor, Tensor];
  if (t.dtype === "bool") {
    const yes = s.run("LogicalAnd", { a: all[0], b: all[1] });
    const no = s.run("LogicalAnd", { a: s.run("LogicalNot", { x: all[0] }), b: all[2] });
    return s.shaped(s.run("LogicalOr", { a: yes, b: no }), t.shape);
  }
  return s.shaped(s.run("Select", { condition: all[0], t: all[1], e: all[2] }), t.shape);
}

/** On wasm, gives back the NaNs of b that a kernel has dropped. */
const keepingNaN =
  (kernel: string): Kernel =>
  (s, [a, b], { shape, dtype }) => {
    const [x, y] = [a as Tensor, b as Tensor];
    const value = binaryKernel(s, kernel, x, y, shape);
    if (s.engine !== "wasm" || dtype !== "float32") return value;
    const wide = expand(s, y, shape);
    return select(
      s,
      s.run("NotEqual", { a: s.shaped(wide, [wide.size]), b: s.shaped(wide, [wide.size]) }),
      wide,
      value,
    );
  };

const div: Kernel = (s, [a, b], { shape, dtype }) => {
  if (dtype !== "int32") return binaryKernel(s, "RealDiv", a as Tensor, b as Tensor, shape);
  const [x, y] = [a, b].map((t) => s.shaped(expand(s, t as Tensor, shape), [sizeOf(shape)])) as [Tensor, Tensor];
  const [zero, one, minusOne] = [0, 1, -1].map((v) => expand(s, s.number(v, "int32"), x.shape)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const byZero = s.run("Equal", { a: y, b: zero });
  const byMinusOne = s.run("Equal", { a: y, b: minusOne });
  const unsafe = s.run("LogicalOr", { a: byZero, b: byMinusOne });
  const quotient = s.run("RealDiv", { a: x, b: select(s, unsafe, one, y) });
  const turned = select(s, byMinusOne, negated(s, x), quotient);
  return s.shaped(select(s, byZero, zero, turned), shape);
};

const negated = (s: Scratch, x: Tensor): Tensor =>
  x.dtype === "int32" ? binaryKernel(s, "Sub", s.number(0, "int32"), x, x.shape) : flat(s, "Neg", x);

const neg: Kernel = (s, [x]) => negated(s, x as Tensor);

const abs: Kernel = (s, [x], { dtype }) =>
  dtype === "int32"
    ? binaryKernel(s, "Maximum", x as Tensor, negated(s, x as Tensor), (x as Tensor).shape)
    : flat(s, "Abs", x as Tensor);

const where: Kernel = (s, inputs, { shape }) => {
  const [c, t, e] = inputs.map((x) => expand(s, x, shape)) as [Tensor, Tensor, Tensor];
  return s.shaped(select(s, c, t, e), shape);
};

const cast: Kernel = (s, [x], { dtype }) => {
  const value = x as Tensor;
  if (value.dtype === dtype) return value;
  if (dtype === "bool") {
    const zero = s.number(0, value.dtype as TfDType);
    return s.shaped(s.run("NotEqual", { a: s.shaped(value, [value.size]), b: zero }), value.shape);
  }
  if (value.dtype === "string" || value.dtype === "complex64")
    throw new CarambaError(`cast from ${value.dtype}`, { code: "dtype" });
  return flat(s, "Cast", value, { dtype });
};

export const elementwise: readonly (readonly [string, Kernel])[] = [
  ["add", binary("Add")],
  ["sub", binary("Sub")],
  ["mul", binary("Multiply")],
  ["div", div],
  ["pow", keepingNaN("Pow")],
  ["maximum", keepingNaN("Maximum")],
  ["minimum", keepingNaN("Minimum")],
  ["equal", binary("Equal")],
  ["less", binary("Less")],
  ["lessEqual", binary("LessEqual")],
  ["greater", binary("Greater")],
  ["greaterEqual", binary("GreaterEqual")],
  ["logicalAnd", binary("LogicalAnd")],
  ["logicalOr", binary("LogicalOr")],
  ["logicalNot", unary("LogicalNot")],
  ["neg", neg],
  ["exp", unary("Exp")],
  ["log", unary("Log")],
  ["sqrt", unary("Sqrt")],
  ["reciprocal", unary("Reciprocal")],
  ["abs", abs],
  ["sigmoid", unary("Sigmoid")],
  ["tanh", unary("Tanh")],
  ["sin", unary("Sin")],
  ["cos", unary("Cos")],
  ["erf", unary("Erf")],
  ["where", where],
  ["cast", cast],
];
