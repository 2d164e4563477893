// AdamW as one sweep. Written as separate ops it would pass over each parameter a dozen times; a Scan over pieces that
// fit the cache touches main memory once per state.
import { sizeOf, type Tensor } from "@caramba/tensor";
import type { OnnxNode } from "../onnx-model.ts";
import type { Emit, Emitter } from "./emitter.ts";

/** Elements per piece: seven arrays of it should fit the second-level cache. */
const chunk = 131072;
/** Below this many elements, the Scan costs more than it saves. */
const small = 8 * chunk;

/** The largest piece of at most `chunk` elements that divides n, or 0. */
function pieceOf(n: number): number {
  for (let k = chunk; k >= chunk / 8; k--) if (n % k === 0) return k;
  return 0;
}

/** The scalars of one step, computed once outside the sweep. */
interface Factors {
  /** m' = beta1 m + gainM g. */
  readonly beta1: string;
  readonly gainM: string;
  /** v' = beta2 v + gainV g^2. */
  readonly beta2: string;
  readonly gainV: string;
  /** p' = keep p - rate m' / (sqrt(v') + floor). */
  readonly keep: string | undefined;
  readonly rate: string;
  readonly floor: string;
}

interface Names {
  readonly p: string;
  readonly m: string;
  readonly v: string;
  readonly g: string;
}

type Write = (op: string, ...inputs: string[]) => string;

/** The arithmetic, on whole arrays or on pieces. */
function step(write: Write, x: Names, f: Factors): { p: string; m: string; v: string } {
  const m = write("Add", write("Mul", x.m, f.beta1), write("Mul", x.g, f.gainM));
  const v = write("Add", write("Mul", x.v, f.beta2), write("Mul", write("Mul", x.g, f.gainV), x.g));
  const move = write("Mul", write("Div", m, write("Add", write("Sqrt", v), f.floor)), f.rate);
  const p = write("Sub", f.keep === undefined ? x.p : write("Mul", x.p, f.keep), move);
  return { p, m, v };
}

function factors(e: Emitter, mNode: Tensor, vNode: Tensor, t: Tensor): Factors {
  const scalar = (node: Tensor | undefined) => e.value(node as Tensor);
  const scale = scalar(mNode.inputs[2]);
  const [lr, c1, c2] = [scalar(t.inputs[3]), scalar(t.inputs[4]), scalar(t.inputs[5])];
  const [beta1, beta2] = [mNode.attrs["beta"] as number, vNode.attrs["beta"] as number];
  const { eps, weightDecay } = t.attrs as { eps: number; weightDecay: number };
  const root = e.node("Sqrt", [c2]);
  return {
    beta1: e.float(beta1),
    gainM: e.node("Mul", [scale, e.float(1 - beta1)]),
    beta2: e.float(beta2),
    gainV: e.node("Mul", [e.node("Mul", [scale, scale]), e.float(1 - beta2)]),
    keep: weightDecay === 0 ? undefined : e.node("Sub", [e.float(1), e.node("Mul", [lr, e.float(weightDecay)])]),
    rate: e.node("Div", [e.node("Mul", [lr, root]), c1]),
    floor: e.node("Mul", [root, e.float(eps)]),
  };
}

/** The sweep over pieces: a Scan without state, whose body reads the factors from outside. */
function sweep(e: Emitter, x: Names, f: Factors, pieces: number, piece: number): { p: string; m: string; v: string } {
  const nodes: OnnxNode[] = [];
  const write: Write = (op, ...inputs) => {
    const output = `s${nodes.length}`;
    nodes.push({ name: `/adamw#${output}`, op, domain: "", inputs, outputs: [output], attrs: {} });
    return output;
  };
  const inner = { p: "sp", m: "sm", v: "sv", g: "sg" };
  const made = step(write, inner, f);
  const value = (name: string) => ({ name, dtype: "float32" as const, dims: [piece] });
  const body = {
    nodes,
    initializers: [],
    inputs: [inner.p, inner.m, inner.v, inner.g].map(value),
    outputs: [made.p, made.m, made.v].map(value),
  };
  const rows = [x.p, x.m, x.v, x.g].map((name) => e.reshape(name, [pieces, piece]));
  const [p, m, v] = e.split("Scan", rows, 3, { num_scan_inputs: 4, body: { body } }) as [string, string, string];
  for (const name of [p, m, v]) e.describe(name, [pieces, piece]);
  return { p, m, v };
}

const adamwParam: Emit = (e, t) => {
  const [pNode, mNode, vNode] = t.inputs as [Tensor, Tensor, Tensor];
  const joined =
    mNode.op.name === "adamwM" &&
    vNode.op.name === "adamwV" &&
    mNode.inputs[1] === vNode.inputs[1] &&
    mNode.inputs[2] === vNode.inputs[2];
  const size = sizeOf(t.shape);
  if (!joined) return apart(e, t);
  const x = {
    p: e.value(pNode),
    m: e.value(mNode.inputs[0] as Tensor),
    v: e.value(vNode.inputs[0] as Tensor),
    g: e.value(mNode.inputs[1] as Tensor),
  };
  const f = factors(e, mNode, vNode, t);
  const piece = typeof size === "number" && size > small && t.dtype === "float32" ? pieceOf(size) : 0;
  const write: Write = (op, ...inputs) => e.node(op, inputs);
  const made = piece > 0 ? sweep(e, x, f, (size as number) / piece, piece) : step(write, x, f);
  const whole = (name: string) => (piece > 0 ? e.reshape(name, t.shape) : name);
  e.define(mNode, whole(made.m));
  e.define(vNode, whole(made.v));
  return whole(made.p);
};

/** The parameter alone, from moments that were computed elsewhere. */
function apart(e: Emitter, t: Tensor): string {
  const [p, m, v, lr, c1, c2] = e.values(t) as [string, string, string, string, string, string];
  const { eps, weightDecay } = t.attrs as { eps: number; weightDecay: number };
  const root = e.node("Sqrt", [c2]);
  const rate = e.node("Div", [e.node("Mul", [lr, root]), c1]);
  const floor = e.node("Mul", [root, e.float(eps)]);
  const move = e.node("Mul", [e.node("Div", [m, e.node("Add", [e.node("Sqrt", [v]), floor])]), rate]);
  const keep = weightDecay === 0 ? undefined : e.node("Sub", [e.float(1), e.node("Mul", [lr, e.float(weightDecay)])]);
  return e.node("Sub", [keep === undefined ? p : e.node("Mul", [p, keep]), move]);
}

const adamwM: Emit = (e, t) => {
  const [m, g, scale] = e.values(t) as [string, string, string];
  const beta = t.attrs["beta"] as number;
  const gain = e.node("Mul", [scale, e.float(1 - beta)]);
  return e.node("Add", [e.node("Mul", [m, e.float(beta)]), e.node("Mul", [g, gain])]);
};

const adamwV: Emit = (e, t) => {
  const [v, g, scale] = e.values(t) as [string, string, string];
  const beta = t.attrs["beta"] as number;
  const gain = e.node("Mul", [e.node("Mul", [scale, scale]), e.float(1 - beta)]);
  return e.node("Add", [e.node("Mul", [v, e.float(beta)]), e.node("Mul", [e.node("Mul", [g, gain]), g])]);
};

export const optimizer: Readonly<Record<string, Emit>> = { adamwM, adamwV, adamwParam };
