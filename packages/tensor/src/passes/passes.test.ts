import { describe, expect, test } from "vitest";
import { valueAndGrad } from "../autodiff.ts";
import { after } from "../composites/after.ts";
import { attention } from "../composites/attention.ts";
import { softmax } from "../composites/softmax.ts";
import { sym } from "../dim.ts";
import { Graph } from "../graph.ts";
import { buildCase, largestError, opCases, runOn } from "../matrix.ts";
import { add, cast, div, exp, mul, reciprocal, sub } from "../ops/elementwise.ts";
import { gather, iota } from "../ops/indexing.ts";
import { matmul } from "../ops/matmul.ts";
import { broadcastTo, concat, reshape, sum } from "../ops/shape.ts";
import { ReferenceBackend } from "../reference.ts";
import { composites } from "../registry.ts";
import { constant, constantValue, input, scalar, type Tensor } from "../tensor.ts";
import { cse, eliminateDead, foldConstants, lowerComposites, pipeline } from "./passes.ts";
import { prepareGraph } from "./prepare.ts";

const reference = new ReferenceBackend();
const names = (graph: Graph): string[] => graph.nodes.map((node) => node.op.name);
const big = (seed: number): Tensor =>
  constant(
    Float32Array.from({ length: 100 }, (_, i) => Math.sin(i + seed)),
    [100],
  );

describe("common subexpressions", () => {
  test("constants of equal content are one, and what is built on them too", () => {
    const x = input("x", [100]);
    const graph = new Graph([add(exp(mul(x, big(1))), exp(mul(x, big(1))))]);
    expect(names(graph).filter((n) => n === "exp")).toHaveLength(2);
    const merged = cse(graph);
    expect(names(merged).filter((n) => n === "exp")).toHaveLength(1);
    expect(names(merged).filter((n) => n === "constant")).toHaveLength(1);
  });

  test("what differs stays apart: content, shape, dtype, attributes, the sign of zero, inputs of equal type", () => {
    const [x, y] = [input("x", [100]), input("y", [100])];
    const pairs: [Tensor, Tensor][] = [
      [mul(x, big(1)), mul(x, big(2))],
      [mul(x, big(1)), mul(reshape(x, [4, 25]), reshape(big(1), [4, 25]))],
      [sum(reshape(x, [10, 10]), [0]), sum(reshape(x, [10, 10]), [1])],
      [exp(x), exp(y)],
      [reciprocal(scalar(0)), reciprocal(scalar(-0))],
    ];
    for (const pair of pairs) {
      const [a, b] = cse(new Graph(pair)).outputs;
      expect(a).not.toBe(b);
    }
  });

  test("the sign of zero survives to the result", async () => {
    const outputs = [reciprocal(scalar(0)), reciprocal(scalar(-0))];
    const values = await runOn(reference, cse(new Graph(outputs)).outputs, [], []);
    expect(values.map((v) => v[0])).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  });
});

describe("constant folding", () => {
  test("what depends on constants alone becomes a constant of the reference's value", async () => {
    const c = constant(Float32Array.of(0.5, -1.25, 3), [3]);
    const d = constant(Int32Array.of(2, 0, 1), [3]);
    const folded = [
      exp(c),
      softmax(mul(c, 2)),
      cast(c, "int32"),
      gather(c, d),
      concat([cast(iota(3), "float32"), sub(c, 1)], 0),
      matmul(reshape(c, [3, 1]), reshape(c, [1, 3])),
    ];
    const { outputs } = foldConstants(lowerComposites(new Set())(new Graph(folded)));
    const expected = await runOn(reference, folded, [], []);
    outputs.forEach((node, i) => {
      const values = constantValue(node);
      expect(values, `${folded[i]}`).toBeDefined();
      expect(node.shape).toEqual(folded[i]?.shape);
      expect(node.dtype).toBe(folded[i]?.dtype);
      // Every step is rounded to its dtype, as an engine would; the reference rounds at the end.
      const tolerance = node.dtype === "float32" ? 1e-6 : 0;
      expect(largestError(values ?? [], expected[i] ?? [1])).toBeLessThanOrEqual(tolerance);
    });
  });

  test("what depends on an input or on a free dimension stays, and scalars are not blown up", () => {
    const x = input("x", [3]);
    const graph = foldConstants(
      new Graph([add(x, exp(scalar(1))), cast(iota(sym("P")), "float32"), broadcastTo(scalar(3), [1000, 1000])]),
    );
    expect(names(graph).sort()).toEqual(["add", "broadcastTo", "cast", "constant", "constant", "input", "iota"].sort());
    expect(constantValue(graph.outputs[0]?.inputs[1] as Tensor)).toEqual(Float32Array.of(Math.E));
  });

  test("a folded constant has the dtype's precision", () => {
    const third = div(scalar(1), scalar(3));
    const [node] = foldConstants(new Graph([third])).outputs;
    expect(constantValue(node as Tensor)).toEqual(Float32Array.of(1 / 3));
  });
});

test("a graph holds only what its outputs need", () => {
  const x = input("x", [3]);
  const kept = exp(x);
  const dropped = mul(kept, 2);
  const graph = eliminateDead(new Graph([kept]));
  expect(graph.nodes).toEqual([x, kept]);
  expect(graph.nodes).not.toContain(dropped);
});

describe("lowering", () => {
  test("every composite goes down to primitives, with the same value", async () => {
    for (const row of opCases(composites)) {
      const { output, leaves, values } = buildCase(row);
      const { graph } = prepareGraph(new Graph([output]), []);
      for (const node of graph.nodes) expect(node.op.decompose, `${row.name}: ${node.op.name}`).toBeUndefined();
      const [expected] = await runOn(reference, [output], leaves, values);
      const [actual] = await runOn(reference, graph.outputs, leaves, values);
      (actual ?? [1]).forEach((v, i) => {
        expect(v).toBeCloseTo(expected?.[i] as number, 12);
      });
    }
  });

  test("claimed composites stay, also inside others", () => {
    const q = input("q", [1, 2, 3, 4]);
    const lower = lowerComposites(new Set(["softmax"]));
    const graph = lower(new Graph([attention(q, q, q)]));
    expect(names(graph)).toContain("softmax");
    expect(names(graph)).not.toContain("attention");
    expect(names(lowerComposites(new Set(["attention"]))(graph))).not.toContain("softmax");
  });

  test("a claimed composite whose parts a gradient needs is not computed twice", () => {
    const x = input("x", [3, 4]);
    const e = exp(sub(x, sum(x)));
    const parts = softmax(x).op.decompose?.([x], {}) as Tensor;
    const graph = lowerComposites(new Set(["softmax"]))(new Graph([softmax(x), parts, e]));
    expect(names(graph)).not.toContain("softmax");
    expect(graph.outputs[0]).toBe(graph.outputs[1]);
  });

  test("an ordering stays where it is claimed and vanishes where not", () => {
    const [x, y] = [input("x", [3]), input("y", [3])];
    const graph = new Graph([exp(after(x, y))]);
    expect(names(lowerComposites(new Set(["after"]))(graph))).toContain("after");
    expect(names(lowerComposites(new Set())(graph))).toEqual(["input", "exp"]);
  });

  test("passing twice changes nothing more", () => {
    const row = opCases(composites).find((c) => c.op.name === "attention");
    if (!row) throw new Error("attention has no case");
    const { output, leaves } = buildCase(row);
    const { value, grads } = valueAndGrad(sum(output), leaves);
    const passes = pipeline(lowerComposites(new Set()), foldConstants, cse);
    const again = passes(passes(new Graph([value, ...grads])));
    expect(names(again)).toEqual(names(passes(new Graph([value, ...grads]))));
  });
});

test("inputs that vanish leave the others in their places", async () => {
  const [a, b] = [input("a", [2]), input("b", [2])];
  const gone = lowerComposites(new Set())(new Graph([exp(b)]));
  expect(gone.inputs).toEqual([b]);
  const original = new Graph([add(b, mul(a, b))]);
  const { graph, inputOrder } = prepareGraph(original, []);
  expect(inputOrder.map((i) => original.inputs[i])).toEqual([...graph.inputs]);
});
