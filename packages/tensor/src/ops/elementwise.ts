// Elementwise primitives. Binary ops broadcast like NumPy; operands must agree in dtype. Numbers given for tensors
// become scalars of the other operand's dtype.
import { type DType, fromHalfBits, isFloat, toHalfBits } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import {
  type Attrs,
  type InputGrad,
  makeNode,
  type OpDef,
  type OpSample,
  type RefValue,
  scalar,
  scalarValue,
  Tensor,
  type TensorType,
  type VjpContext,
} from "../tensor.ts";
import { broadcastIndex, broadcastShapes } from "./broadcast.ts";
import { sumTo } from "./shape.ts";

/** A tensor, or a number that stands for a scalar. */
export type Operand = Tensor | number;

function operands(a: Operand, b: Operand): [Tensor, Tensor] {
  if (a instanceof Tensor) return [a, b instanceof Tensor ? b : scalar(b, a.dtype)];
  if (b instanceof Tensor) return [scalar(a, b.dtype), b];
  return [scalar(a), scalar(b)];
}

function evaluateBinary(f: (a: number, b: number) => number) {
  return (inputs: readonly RefValue[], _attrs: Attrs, shape: readonly number[]): Float64Array => {
    const [a, b] = inputs as [RefValue, RefValue];
    const ia = broadcastIndex(a.shape, shape);
    const ib = broadcastIndex(b.shape, shape);
    const integer = !isFloat(a.dtype) && a.dtype !== "bool";
    return Float64Array.from(ia, (at, i) => {
      const value = f(a.data[at] as number, b.data[ib[i] as number] as number);
      return integer ? Math.trunc(value) : value;
    });
  };
}

const sampleShapes: readonly [readonly number[], readonly number[]][] = [
  [
    [2, 3],
    [2, 3],
  ],
  [
    [2, 1, 4],
    [3, 1],
  ],
  [[], [5]],
];

interface BinaryRule {
  readonly f: (a: number, b: number) => number;
  readonly result?: "bool";
  readonly vjp?: (context: VjpContext<Attrs>) => readonly InputGrad[];
  readonly a?: readonly [number, number];
  readonly b?: readonly [number, number];
  readonly only?: DType;
}

function binary(name: string, rule: BinaryRule): OpDef {
  const infer = (inputs: readonly TensorType[]): TensorType => {
    const [a, b] = inputs as [TensorType, TensorType];
    if (a.dtype !== b.dtype) throw new ShapeError(`operands have dtypes ${a.dtype} and ${b.dtype}`, "cast one of them");
    if (rule.only ? a.dtype !== rule.only : a.dtype === "bool")
      throw new ShapeError(`does not take ${a.dtype}`, rule.only ? `cast to ${rule.only}` : "cast to a number type");
    return { shape: broadcastShapes(a.shape, b.shape), dtype: rule.result ?? a.dtype };
  };
  const samples: OpSample[] = sampleShapes.map(([a, b]) => {
    if (rule.only === "bool")
      return {
        inputs: [a, b].map((shape) => ({ shape, dtype: "bool" as const, low: 0, high: 2 })),
        differentiable: false,
      };
    const [aLow, aHigh] = rule.a ?? [-2, 2];
    const [bLow, bHigh] = rule.b ?? [-2, 2];
    return {
      inputs: [
        { shape: a, low: aLow, high: aHigh },
        { shape: b, low: bLow, high: bHigh },
      ],
      differentiable: rule.vjp !== undefined,
    };
  });
  const def = { name, infer, evaluate: evaluateBinary(rule.f), samples };
  return rule.vjp ? { ...def, vjp: rule.vjp } : def;
}

const zero = (t: Tensor): Tensor => scalar(0, t.dtype);

const addOp = binary("add", {
  f: (a, b) => a + b,
  vjp: ({ g, inputs: [a, b] }) => [() => sumTo(g, (a as Tensor).shape), () => sumTo(g, (b as Tensor).shape)],
});
const subOp = binary("sub", {
  f: (a, b) => a - b,
  vjp: ({ g, inputs: [a, b] }) => [() => sumTo(g, (a as Tensor).shape), () => sumTo(neg(g), (b as Tensor).shape)],
});
const mulOp = binary("mul", {
  f: (a, b) => a * b,
  vjp: ({ g, inputs }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    return [() => sumTo(mul(g, b), a.shape), () => sumTo(mul(g, a), b.shape)];
  },
});
const divOp = binary("div", {
  f: (a, b) => a / b,
  b: [0.5, 3],
  vjp: ({ g, inputs, output }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    return [() => sumTo(div(g, b), a.shape), () => sumTo(neg(mul(g, div(output, b))), b.shape)];
  },
});
const powOp = binary("pow", {
  f: (a, b) => a ** b,
  a: [0.5, 2],
  vjp: ({ g, inputs, output }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    return [() => sumTo(mul(g, mul(b, pow(a, sub(b, 1)))), a.shape), () => sumTo(mul(g, mul(output, log(a))), b.shape)];
  },
});
const maximumOp = binary("maximum", {
  f: Math.max,
  vjp: ({ g, inputs }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    const first = greaterEqual(a, b);
    return [() => sumTo(where(first, g, zero(g)), a.shape), () => sumTo(where(first, zero(g), g), b.shape)];
  },
});
const minimumOp = binary("minimum", {
  f: Math.min,
  vjp: ({ g, inputs }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    const first = lessEqual(a, b);
    return [() => sumTo(where(first, g, zero(g)), a.shape), () => sumTo(where(first, zero(g), g), b.shape)];
  },
});
const equalOp = binary("equal", { f: (a, b) => Number(a === b), result: "bool" });
const lessOp = binary("less", { f: (a, b) => Number(a < b), result: "bool" });
const lessEqualOp = binary("lessEqual", { f: (a, b) => Number(a <= b), result: "bool" });
const greaterOp = binary("greater", { f: (a, b) => Number(a > b), result: "bool" });
const greaterEqualOp = binary("greaterEqual", { f: (a, b) => Number(a >= b), result: "bool" });
const logicalAndOp = binary("logicalAnd", { f: (a, b) => a && b, only: "bool" });
const logicalOrOp = binary("logicalOr", { f: (a, b) => a || b, only: "bool" });

const make2 =
  (op: OpDef) =>
  (a: Operand, b: Operand): Tensor =>
    makeNode(op, operands(a, b), {});

/** Whether t is the constant `value` of rank 0 and of the other operand's (number) dtype. */
const isScalar = (t: Tensor, value: number, other: Tensor): boolean =>
  t.rank === 0 && t.dtype === other.dtype && t.dtype !== "bool" && scalarValue(t) === value;

/** a + b. Adding a scalar zero gives back the other operand. */
export function add(a: Operand, b: Operand): Tensor {
  const [x, y] = operands(a, b);
  if (isScalar(y, 0, x)) return x;
  if (isScalar(x, 0, y)) return y;
  return makeNode(addOp, [x, y], {});
}
/** a - b. */
export const sub: (a: Operand, b: Operand) => Tensor = make2(subOp);
/** a * b. Multiplying by a scalar one gives back the other operand. */
export function mul(a: Operand, b: Operand): Tensor {
  const [x, y] = operands(a, b);
  if (isScalar(y, 1, x)) return x;
  if (isScalar(x, 1, y)) return y;
  return makeNode(mulOp, [x, y], {});
}
/** a / b; integers truncate. */
export const div: (a: Operand, b: Operand) => Tensor = make2(divOp);
/** a to the power b. */
export const pow: (a: Operand, b: Operand) => Tensor = make2(powOp);
/** The larger of each pair; at ties the gradient goes to the first. */
export const maximum: (a: Operand, b: Operand) => Tensor = make2(maximumOp);
/** The smaller of each pair; at ties the gradient goes to the first. */
export const minimum: (a: Operand, b: Operand) => Tensor = make2(minimumOp);
export const equal: (a: Operand, b: Operand) => Tensor = make2(equalOp);
export const less: (a: Operand, b: Operand) => Tensor = make2(lessOp);
export const lessEqual: (a: Operand, b: Operand) => Tensor = make2(lessEqualOp);
export const greater: (a: Operand, b: Operand) => Tensor = make2(greaterOp);
export const greaterEqual: (a: Operand, b: Operand) => Tensor = make2(greaterEqualOp);
export const logicalAnd: (a: Tensor, b: Tensor) => Tensor = make2(logicalAndOp);
export const logicalOr: (a: Tensor, b: Tensor) => Tensor = make2(logicalOrOp);

interface UnaryRule {
  readonly f: (x: number) => number;
  readonly vjp?: (context: VjpContext<Attrs>) => readonly InputGrad[];
  readonly range?: readonly [number, number];
  /** Accepts integers too. */
  readonly integers?: boolean;
}

function unary(name: string, rule: UnaryRule): OpDef {
  const [low, high] = rule.range ?? [-2, 2];
  const def = {
    name,
    infer: ([x]: readonly TensorType[]): TensorType => {
      const { shape, dtype } = x as TensorType;
      if (!isFloat(dtype) && !(rule.integers && (dtype === "int32" || dtype === "int8")))
        throw new ShapeError(`does not take ${dtype}`, "cast to float32");
      return { shape, dtype };
    },
    evaluate: ([x]: readonly RefValue[]): Float64Array => (x as RefValue).data.map(rule.f),
    samples: [{ inputs: [{ shape: [3, 4], low, high }] }, { inputs: [{ shape: [], low, high }] }],
  };
  return rule.vjp ? { ...def, vjp: rule.vjp } : def;
}

const negOp = unary("neg", { f: (x) => -x, integers: true, vjp: ({ g }) => [neg(g)] });
const expOp = unary("exp", { f: Math.exp, vjp: ({ g, output }) => [mul(g, output)] });
const logOp = unary("log", { f: Math.log, range: [0.2, 3], vjp: ({ g, inputs: [x] }) => [div(g, x as Tensor)] });
const sqrtOp = unary("sqrt", { f: Math.sqrt, range: [0.2, 3], vjp: ({ g, output }) => [div(mul(g, 0.5), output)] });
const reciprocalOp = unary("reciprocal", {
  f: (x) => 1 / x,
  range: [0.5, 3],
  vjp: ({ g, output }) => [neg(mul(g, mul(output, output)))],
});
const absOp = unary("abs", {
  f: Math.abs,
  range: [0.2, 2],
  integers: true,
  vjp: ({ g, inputs: [x] }) => [where(greaterEqual(x as Tensor, 0), g, neg(g))],
});
const sigmoidOp = unary("sigmoid", {
  f: (x) => 1 / (1 + Math.exp(-x)),
  vjp: ({ g, output }) => [mul(g, mul(output, sub(1, output)))],
});
const tanhOp = unary("tanh", { f: Math.tanh, vjp: ({ g, output }) => [mul(g, sub(1, mul(output, output)))] });
const sinOp = unary("sin", { f: Math.sin, vjp: ({ g, inputs: [x] }) => [mul(g, cos(x as Tensor))] });
const cosOp = unary("cos", { f: Math.cos, vjp: ({ g, inputs: [x] }) => [neg(mul(g, sin(x as Tensor)))] });
const erfOp = unary("erf", {
  f: erfReference,
  vjp: ({ g, inputs: [x] }) => {
    const at = x as Tensor;
    return [mul(g, mul(exp(neg(mul(at, at))), 2 / Math.sqrt(Math.PI)))];
  },
});

/** erf to about 1e-15: Taylor series near 0, Laplace continued fraction beyond (Abramowitz and Stegun 7.1.5, 7.1.14). */
function erfReference(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let total = a;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total) && n < 200; n++) {
      term *= (-a * a) / n;
      total += term / (2 * n + 1);
    }
    return (Math.sign(x) * total * 2) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let k = 80; k > 0; k--) fraction = k / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / ((a + fraction) * Math.sqrt(Math.PI)));
}

const make1 =
  (op: OpDef) =>
  (x: Tensor): Tensor =>
    makeNode(op, [x], {});

export const neg: (x: Tensor) => Tensor = make1(negOp);
export const exp: (x: Tensor) => Tensor = make1(expOp);
/** Natural logarithm. */
export const log: (x: Tensor) => Tensor = make1(logOp);
export const sqrt: (x: Tensor) => Tensor = make1(sqrtOp);
/** 1 / x. */
export const reciprocal: (x: Tensor) => Tensor = make1(reciprocalOp);
/** 1 / sqrt(x). */
export function rsqrt(x: Tensor): Tensor {
  return reciprocal(sqrt(x));
}
export const abs: (x: Tensor) => Tensor = make1(absOp);
/** 1 / (1 + exp(-x)). */
export const sigmoid: (x: Tensor) => Tensor = make1(sigmoidOp);
export const tanh: (x: Tensor) => Tensor = make1(tanhOp);
export const sin: (x: Tensor) => Tensor = make1(sinOp);
export const cos: (x: Tensor) => Tensor = make1(cosOp);
/** Gauss error function. */
export const erf: (x: Tensor) => Tensor = make1(erfOp);

const logicalNotOp: OpDef = {
  name: "logicalNot",
  infer: ([x]) => {
    const { shape, dtype } = x as TensorType;
    if (dtype !== "bool") throw new ShapeError(`does not take ${dtype}`, "compare first");
    return { shape, dtype };
  },
  evaluate: ([x]) => (x as RefValue).data.map((v) => 1 - v),
  samples: [{ inputs: [{ shape: [7], dtype: "bool", low: 0, high: 2 }], differentiable: false }],
};
export const logicalNot: (x: Tensor) => Tensor = make1(logicalNotOp);

const whereOp: OpDef = {
  name: "where",
  infer: (inputs) => {
    const [c, a, b] = inputs as [TensorType, TensorType, TensorType];
    if (c.dtype !== "bool") throw new ShapeError(`the condition has dtype ${c.dtype}`, "compare to get a bool");
    if (a.dtype !== b.dtype) throw new ShapeError(`branches have dtypes ${a.dtype} and ${b.dtype}`, "cast one of them");
    return { shape: broadcastShapes(c.shape, broadcastShapes(a.shape, b.shape)), dtype: a.dtype };
  },
  vjp: ({ g, inputs }) => {
    const [c, a, b] = inputs as [Tensor, Tensor, Tensor];
    return [null, () => sumTo(where(c, g, zero(g)), a.shape), () => sumTo(where(c, zero(g), g), b.shape)];
  },
  evaluate: (inputs, _attrs, shape) => {
    const [c, a, b] = inputs as [RefValue, RefValue, RefValue];
    const [ic, ia, ib] = [c, a, b].map((v) => broadcastIndex(v.shape, shape)) as [Int32Array, Int32Array, Int32Array];
    return Float64Array.from(ic, (at, i) =>
      c.data[at] ? (a.data[ia[i] as number] as number) : (b.data[ib[i] as number] as number),
    );
  },
  samples: [
    { inputs: [{ shape: [2, 3], dtype: "bool", low: 0, high: 2 }, { shape: [2, 3] }, { shape: [2, 3] }] },
    { inputs: [{ shape: [4, 1], dtype: "bool", low: 0, high: 2 }, { shape: [3] }, { shape: [] }] },
  ],
};

/** a where the condition holds, else b; all three broadcast. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const [x, y] = operands(a, b);
  return makeNode(whereOp, [condition, x, y], {});
}

interface CastAttrs extends Attrs {
  readonly to: DType;
}

const castOp: OpDef<CastAttrs> = {
  name: "cast",
  infer: ([x], { to }) => ({ shape: (x as TensorType).shape, dtype: to }),
  vjp: ({ g, inputs: [x] }) => [isFloat((x as Tensor).dtype) ? cast(g, (x as Tensor).dtype) : null],
  evaluate: ([x], { to }) => {
    const { data } = x as RefValue;
    switch (to) {
      case "float32":
        return data;
      case "float16":
        return data.map((v) => fromHalfBits(toHalfBits(v)));
      case "bool":
        return data.map((v) => Number(v !== 0));
      case "int32":
        return data.map(Math.trunc);
      case "uint8":
        return Float64Array.from(Uint8Array.from(data, Math.trunc));
      case "int8":
        return Float64Array.from(Int8Array.from(data, Math.trunc));
      default:
        return to satisfies never;
    }
  },
  samples: [
    { inputs: [{ shape: [2, 3], dtype: "int32", low: -5, high: 5 }], attrs: { to: "float32" }, differentiable: false },
    { inputs: [{ shape: [5], low: -3, high: 3 }], attrs: { to: "int32" }, differentiable: false },
    { inputs: [{ shape: [4], dtype: "bool", low: 0, high: 2 }], attrs: { to: "float32" }, differentiable: false },
  ],
};

/** Changes the element type: floats truncate towards zero to integers, non-zero is true. */
export function cast(x: Tensor, to: DType): Tensor {
  return x.dtype === to ? x : makeNode(castOp, [x], { to });
}

export const elementwiseOps: readonly OpDef[] = [
  addOp,
  subOp,
  mulOp,
  divOp,
  powOp,
  maximumOp,
  minimumOp,
  equalOp,
  lessOp,
  lessEqualOp,
  greaterOp,
  greaterEqualOp,
  logicalAndOp,
  logicalOrOp,
  logicalNotOp,
  negOp,
  expOp,
  logOp,
  sqrtOp,
  reciprocalOp,
  absOp,
  sigmoidOp,
  tanhOp,
  sinOp,
  cosOp,
  erfOp,
  whereOp,
  castOp as unknown as OpDef,
];
