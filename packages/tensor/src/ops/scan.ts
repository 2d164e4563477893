// A loop over the first axis with values carried from step to step (Blelloch, "Prefix sums and their applications", 1990;
// the form is that of lax.scan in JAX and Scan in ONNX):
//
//   carry_0 given;  (carry_{t+1}, out_t) = step(carry_t, x_t, shared)   for t = 0 .. T-1, or T-1 .. 0 in reverse
//
// The step is a graph of its own over placeholders, built once; T may be open. A node yields one value, so a loop is a
// family of nodes with equal inputs and a number each: last carries, stacked outs, and the carries before every step.
// Engines run the members that are asked for in one go.
//
// Gradient: the same loop the other way round, whose step is the vector-Jacobian product of this step at the carries that
// were kept. Only those are kept: what is inside a step is computed again, so a step over a chunk of positions keeps one
// state per chunk. The gradient of a shared matrix W in c W is one product over all steps, not a sum of T small ones.
// Every member that a loss reads has a backward loop of its own.
import { pullback } from "../autodiff.ts";
import { type Dim, mulDims } from "../dim.ts";
import { ShapeError } from "../errors.ts";
import { symbolicFlops } from "../flops.ts";
import { Graph } from "../graph.ts";
import { lowerComposites } from "../passes/passes.ts";
import { rewrite } from "../passes/rewrite.ts";
import { type Attrs, input, makeNode, type OpDef, type OpSample, scalar, type Tensor, typeKey } from "../tensor.ts";
import { add, mul, tanh } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { evaluateLoop, filled, inferMember, type LoopBody, registerBody, stepSizes } from "./scan-body.ts";
import { broadcastTo, reshape } from "./shape.ts";

/** What a loop reads. */
export interface ScanInputs {
  /** Values before the first step. */
  readonly carry: readonly Tensor[];
  /** [T, ...] each; a step sees one row. At least one. */
  readonly xs: readonly Tensor[];
  /** Seen whole by every step. */
  readonly shared?: readonly Tensor[];
  /** From the last row to the first; rows of the outs stay at their places. Default false. */
  readonly reverse?: boolean;
}

/** What a step gives: the carries for the next step (of unchanged types), and this row of every out. */
export interface ScanStep {
  readonly carry: readonly Tensor[];
  readonly out: readonly Tensor[];
}

interface ScanAttrs extends Attrs {
  /** Text that is equal for steps that compute the same. */
  readonly body: string;
  /** Which member of the family. */
  readonly output: number;
}

/** Runs a step over rows; see the top of this file. Rows and shared values that no step reads are left out. */
export function scan(
  inputs: ScanInputs,
  step: (carry: readonly Tensor[], x: readonly Tensor[], shared: readonly Tensor[]) => ScanStep,
): { readonly carry: readonly Tensor[]; readonly out: readonly Tensor[] } {
  const { carry, xs, shared = [], reverse = false } = inputs;
  const [first] = xs;
  if (!first || xs.some((x) => x.rank === 0))
    throw new ShapeError("scan: there are no rows to go through", "give at least one value of rank 1 or more in xs");
  const leaves = {
    carry: carry.map((c, i) => input(`carry${i}`, c.shape, c.dtype)),
    xs: xs.map((x, i) => input(`x${i}`, x.shape.slice(1), x.dtype)),
    shared: shared.map((s, i) => input(`shared${i}`, s.shape, s.dtype)),
  };
  const made = step(leaves.carry, leaves.xs, leaves.shared);
  leaves.carry.forEach((c, i) => {
    const next = made.carry[i];
    if (made.carry.length !== carry.length || !next || typeKey(next) !== typeKey(c))
      throw new ShapeError(`scan: a step makes ${next ?? "nothing"} of the carry ${c}`, "keep its shape and dtype");
  });
  const used = new Set(new Graph([...made.carry, ...made.out]).inputs);
  const keepX = xs.map((_, i) => used.has(leaves.xs[i] as Tensor));
  if (!keepX.includes(true)) keepX[0] = true;
  const keepShared = shared.map((_, i) => used.has(leaves.shared[i] as Tensor));
  const body: LoopBody = {
    carry: leaves.carry,
    xs: leaves.xs.filter((_, i) => keepX[i]),
    shared: leaves.shared.filter((_, i) => keepShared[i]),
    outputs: [...made.carry, ...made.out, ...leaves.carry],
    stackedFrom: carry.length,
    reverse,
  };
  const family = new Family(body);
  const given = [...carry, ...xs.filter((_, i) => keepX[i]), ...shared.filter((_, i) => keepShared[i])];
  return {
    carry: carry.map((_, i) => family.member(given, i)),
    out: made.out.map((_, i) => family.member(given, carry.length + i)),
  };
}

const lower = lowerComposites(new Set());

/** The op of one step. */
class Family {
  readonly body: LoopBody;
  readonly key: string;
  readonly op: OpDef<ScanAttrs>;

  constructor(body: LoopBody, samples: readonly OpSample<ScanAttrs>[] = []) {
    this.body = body;
    const placeholders = [...body.carry, ...body.xs, ...body.shared];
    const graph = new Graph(body.outputs);
    for (const leaf of graph.inputs)
      if (!placeholders.includes(leaf))
        throw new ShapeError(`scan: a step reads ${leaf}, which it was not given`, "pass it in `shared`");
    const order = graph.inputs.map((leaf) => placeholders.indexOf(leaf));
    const counts = [body.carry.length, body.xs.length, body.shared.length, body.reverse ? 1 : 0];
    this.key = `${graph.hash}:${counts.join()}:${order.join()}`;
    this.op = {
      name: "scan",
      infer: (inputs, attrs) => inferMember(body, inputs, attrs.output),
      vjp: ({ g, inputs, attrs }) => this.#vjp(g, inputs, attrs.output),
      evaluate: (inputs, attrs) => evaluateLoop(this.#lowered(), body, inputs)[attrs.output] as Float64Array,
      flops: (inputs) =>
        mulDims(filled(symbolicFlops(graph), stepSizes(body, inputs)), inputs[body.carry.length]?.shape[0] as Dim),
      samples,
    };
    registerBody(this.op, body);
  }

  member(inputs: readonly Tensor[], output: number): Tensor {
    return makeNode(this.op, inputs, { body: this.key, output });
  }

  #graph: Graph | undefined;
  #lowered(): Graph {
    this.#graph ??= lower(new Graph(this.body.outputs));
    return this.#graph;
  }

  #vjp(g: Tensor, inputs: readonly Tensor[], output: number): (Tensor | null)[] {
    const { body } = this;
    const [nc, nx] = [body.carry.length, body.xs.length];
    const carry = inputs.slice(0, nc);
    const xs = inputs.slice(nc, nc + nx);
    const shared = inputs.slice(nc + nx);
    const history = carry.map((_, i) => this.member(inputs, body.outputs.length - nc + i));
    const rows = [...xs, ...history, ...(output < nc ? [] : [g])];
    /** By shared value: whether its gradient is a sum of products over steps, or adds up as it goes. */
    const products: ({ p: Tensor | number; q: Tensor | number; alpha: number } | number | null)[] = [];
    const places: (number | null)[] = [];
    const zeros = (x: Tensor): Tensor => broadcastTo(scalar(0), x.shape);
    const start = carry.map((c, i) => (i === output ? g : zeros(c)));
    const plan = pullStep(body, output);
    // The step is looked at once before it becomes a loop, to know which sums it carries.
    const probe = plan(
      carry.map((c, i) => input(`dc${i}`, c.shape, c.dtype)),
      rows.map((r, i) => input(`row${i}`, r.shape.slice(1), r.dtype)),
      shared.map((s, i) => input(`shared${i}`, s.shape, s.dtype)),
    );
    const sums = shared.filter((_, i) => {
      const d = probe[nc + nx + i];
      return d !== undefined && !isRowProduct(d);
    });
    const back = scan(
      { carry: [...start, ...sums.map(zeros)], xs: rows, shared, reverse: !body.reverse },
      (now, row, whole) => {
        const dc = now.slice(0, nc);
        const parts = plan(dc, row, whole);
        const out: Tensor[] = [];
        const place = (node: Tensor): number => {
          out.push(node);
          return out.length - 1;
        };
        for (let i = 0; i < nx; i++) {
          const d = parts[nc + i];
          places[i] = d ? place(d) : null;
        }
        const added: Tensor[] = [];
        shared.forEach((_, i) => {
          const d = parts[nc + nx + i];
          if (!d) products[i] = null;
          else if (isRowProduct(d)) {
            const [p, q] = d.inputs.map((side) => {
              const at = row.indexOf(side);
              return at >= 0 ? (rows[at] as Tensor) : place(side);
            }) as [Tensor | number, Tensor | number];
            products[i] = { p, q, alpha: d.attrs["alpha"] as number };
          } else {
            products[i] = nc + added.length;
            added.push(add(now[nc + added.length] as Tensor, d));
          }
        });
        const next = dc.map((c, i) => parts[i] ?? zeros(c));
        return { carry: [...next, ...added], out };
      },
    );
    const stacked = (side: Tensor | number): Tensor => (typeof side === "number" ? (back.out[side] as Tensor) : side);
    const flat = (x: Tensor): Tensor => reshape(x, [mulDims(x.shape[0] as Dim, x.shape[1] as Dim), x.shape[2] as Dim]);
    const forShared = products.map((how) => {
      if (how === null) return null;
      if (typeof how === "number") return back.carry[how] as Tensor;
      return matmul(flat(stacked(how.p)), flat(stacked(how.q)), { transA: true, alpha: how.alpha });
    });
    return [...back.carry.slice(0, nc), ...places.map((at) => (at === null ? null : stacked(at))), ...forShared];
  }
}

/**
 * The step backwards: gradients of its carries, rows and shared values (undefined: none), given those of the next carries
 * and rows of the backward loop, which are the step's own rows, the carries before it, and the gradient of its out.
 */
function pullStep(body: LoopBody, output: number) {
  const [nc, nx] = [body.carry.length, body.xs.length];
  return (dc: readonly Tensor[], row: readonly Tensor[], whole: readonly Tensor[]): readonly (Tensor | undefined)[] => {
    const before = row.slice(nx, nx + nc);
    const now = new Map<Tensor, Tensor>();
    body.carry.forEach((leaf, i) => {
      now.set(leaf, before[i] as Tensor);
    });
    body.xs.forEach((leaf, i) => {
      now.set(leaf, row[i] as Tensor);
    });
    body.shared.forEach((leaf, i) => {
      now.set(leaf, whole[i] as Tensor);
    });
    const outs = rewrite(body.outputs, (node) => now.get(node)).outputs;
    // A last carry comes back through dc alone.
    const [values, given] = output < nc ? [[], []] : [[outs[output] as Tensor], [row[nx + nc] as Tensor]];
    return pullback([...outs.slice(0, nc), ...values], [...dc, ...given], [...before, ...row.slice(0, nx), ...whole]);
  };
}

/** A gradient p^T q of matrices: its sum over steps is one product over all rows of all steps. */
function isRowProduct(d: Tensor): boolean {
  return d.op.name === "matmul" && d.rank === 2 && d.attrs["transA"] === true && d.attrs["transB"] === false;
}

/** Loops for the test matrix: each sample asks for one member over its inputs. */
function sampleFamily(
  body: LoopBody,
  asked: readonly { readonly output: number; readonly inputs: OpSample["inputs"]; readonly about: string }[],
): OpDef {
  const samples: OpSample<ScanAttrs>[] = [];
  const { op, key } = new Family(body, samples);
  for (const { output, inputs, about } of asked) samples.push({ inputs, attrs: { body: key, output }, about });
  return op as unknown as OpDef;
}

/** h a + b, forwards. */
function linearSample(): OpDef {
  const [h, a, b] = ["h", "a", "b"].map((name) => input(name, [2, 3])) as [Tensor, Tensor, Tensor];
  const next = add(mul(h, a), b);
  const over = (rows: number) => [
    { shape: [2, 3] },
    { shape: [rows, 2, 3], low: -1, high: 1 },
    { shape: [rows, 2, 3] },
  ];
  return sampleFamily(
    { carry: [h], xs: [a, b], shared: [], outputs: [next, next, h], stackedFrom: 1, reverse: false },
    [
      { output: 0, inputs: over(4), about: "last carry" },
      { output: 1, inputs: over(4), about: "every row" },
      { output: 2, inputs: over(4), about: "carries before each step" },
      { output: 0, inputs: over(1), about: "last carry of one row" },
      { output: 2, inputs: over(1), about: "carry before the one step" },
      { output: 0, inputs: over(0), about: "carry over no rows" },
      { output: 1, inputs: over(0), about: "no rows" },
    ],
  );
}

/** tanh(h W + x s), backwards. */
function matrixSample(): OpDef {
  const [h, x, w, s] = [input("h", [2, 3]), input("x", [2, 3]), input("w", [3, 3]), input("s", [3])] as const;
  const next = tanh(add(matmul(h, w), mul(x, s)));
  const inputs = [{ shape: [2, 3] }, { shape: [3, 2, 3] }, { shape: [3, 3] }, { shape: [3] }];
  return sampleFamily(
    { carry: [h], xs: [x], shared: [w, s], outputs: [next, mul(next, x), h], stackedFrom: 1, reverse: true },
    [
      { output: 0, inputs, about: "last carry, from the end" },
      { output: 1, inputs, about: "every row, from the end" },
    ],
  );
}

/** A loop over rows of rows: tanh(h s + x) over all of them, and h before each outer row. */
function nestedSample(): OpDef {
  const [h, x, s] = [input("h", [3]), input("x", [4, 3]), input("s", [3])];
  const inner = scan({ carry: [h], xs: [x], shared: [s] }, ([now], [row], [scale]) => {
    const next = tanh(add(mul(now as Tensor, scale as Tensor), row as Tensor));
    return { carry: [next], out: [next] };
  });
  const next = inner.carry[0] as Tensor;
  const inputs = [{ shape: [3] }, { shape: [2, 4, 3] }, { shape: [3] }];
  return sampleFamily(
    { carry: [h], xs: [x], shared: [s], outputs: [next, inner.out[0] as Tensor, h], stackedFrom: 1, reverse: false },
    [
      { output: 0, inputs, about: "last carry of a loop in a loop" },
      { output: 1, inputs, about: "every row of a loop in a loop" },
    ],
  );
}

export const scanOps: readonly OpDef[] = [linearSample(), matrixSample(), nestedSample()];
