// Elementwise ops. ORT's kernels broadcast by themselves, so an operand that was broadcast only to meet the other is
// read as it was before.
import { type DType, isFloat, shapeEquals, type Tensor } from "@caramba/tensor";
import type { Emit, Emitter } from "./emitter.ts";

/** Types that ORT's CPU arithmetic kernels lack are computed in a wider one, which holds every result they can. */
const wide: Partial<Record<DType, DType>> = { int8: "int32", uint8: "int32" };

/** An operand without the broadcast that the kernel does anyway: the others still span the output's shape. */
function unbroadcast(t: Tensor, i: number): Tensor {
  const input = t.inputs[i] as Tensor;
  if (input.op.name !== "broadcastTo") return input;
  const spanned = t.inputs.some((other, j) => j !== i && shapeEquals(other.shape, t.shape));
  // When all operands are broadcasts, the first keeps its shape.
  const firstFull = t.inputs.findIndex((x) => shapeEquals(x.shape, t.shape));
  return spanned && firstFull !== i ? (input.inputs[0] as Tensor) : input;
}

const operands = (t: Tensor): Tensor[] => t.inputs.map((_, i) => unbroadcast(t, i));
const values = (e: Emitter, t: Tensor): string[] => operands(t).map((x) => e.value(x));

const binary =
  (op: string): Emit =>
  (e, t) => {
    const { dtype } = t.inputs[0] as Tensor;
    const via = wide[dtype];
    if (via === undefined) return e.elementwise(t, operands(t), (names) => e.node(op, names));
    const value = e.node(
      op,
      values(e, t).map((x) => e.cast(x, via)),
    );
    return t.dtype === dtype ? e.cast(value, dtype) : value;
  };

const logical =
  (op: string): Emit =>
  (e, t) =>
    e.node(op, values(e, t));

const unary =
  (op: string): Emit =>
  (e, t) =>
    e.elementwise(t, t.inputs, (names) => e.node(op, names));

const where: Emit = (e, t) => {
  const [condition, a, b] = values(e, t) as [string, string, string];
  const via = t.dtype === "bool" ? "uint8" : wide[t.dtype];
  if (via === undefined) return e.node("Where", [condition, a, b]);
  return e.cast(e.node("Where", [condition, e.cast(a, via), e.cast(b, via)]), t.dtype);
};

const cast: Emit = (e, t) => {
  const [x] = t.inputs as [Tensor];
  const value = e.value(x);
  // The C++ conversion of a float that does not fit a small integer is undefined; by way of int32 it wraps like ours.
  const narrow = t.dtype === "int8" || t.dtype === "uint8";
  return e.cast(narrow && isFloat(x.dtype) ? e.cast(value, "int32") : value, t.dtype);
};

const exp: Emit = (e, t) => {
  const [x] = t.inputs as [Tensor];
  if (x.op.name === "logSoftmax") return e.node("Softmax", [e.value(x.inputs[0] as Tensor)], { axis: -1 });
  return e.node("Exp", [e.value(x)]);
};

export const elementwise: Readonly<Record<string, Emit>> = {
  add: binary("Add"),
  sub: binary("Sub"),
  mul: binary("Mul"),
  div: binary("Div"),
  pow: binary("Pow"),
  maximum: binary("Max"),
  minimum: binary("Min"),
  equal: binary("Equal"),
  less: binary("Less"),
  lessEqual: binary("LessOrEqual"),
  greater: binary("Greater"),
  greaterEqual: binary("GreaterOrEqual"),
  logicalAnd: logical("And"),
  logicalOr: logical("Or"),
  logicalNot: unary("Not"),
  neg: unary("Neg"),
  exp,
  log: unary("Log"),
  sqrt: unary("Sqrt"),
  reciprocal: unary("Reciprocal"),
  abs: unary("Abs"),
  sigmoid: unary("Sigmoid"),
  tanh: unary("Tanh"),
  sin: unary("Sin"),
  cos: unary("Cos"),
  erf: unary("Erf"),
  where,
  cast,
};
