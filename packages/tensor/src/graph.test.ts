import { describe, expect, test } from "vitest";
import { grad } from "./autodiff.ts";
import { crossEntropy } from "./composites/cross-entropy.ts";
import { rmsNorm } from "./composites/norm.ts";
import { addDims, mulDims, sym } from "./dim.ts";
import { CarambaError, ShapeError } from "./errors.ts";
import { Graph, topological } from "./graph.ts";
import { add, cast, equal, exp, mul, neg, sub } from "./ops/elementwise.ts";
import { matmul } from "./ops/matmul.ts";
import { mean } from "./ops/reduce.ts";
import { reshape, sum, transpose } from "./ops/shape.ts";
import { constant, input, makeNode, random, scalar, type Tensor, withScope } from "./tensor.ts";
import { Variable } from "./variable.ts";

/** A small training graph; every call makes all leaves anew. */
function model({ names = ["x", "w"], width = 4, eps = 1e-5, transB = false, table = 1 } = {}): Graph {
  const x = input(names[0] as string, [3, width]);
  const w = new Variable(names[1] as string, [width, width]).tensor;
  const norm = constant(
    Float32Array.from({ length: 100 }, (_, i) => i * table),
    [100],
  );
  const targets = input("targets", [3], "int32");
  const h = rmsNorm(matmul(x, w, { transB }), constant(new Float32Array(width).fill(1), [width]), eps);
  const loss = add(mean(crossEntropy(h, targets)), mean(norm));
  return new Graph([loss, ...grad(loss, [w])]);
}

describe("hash", () => {
  test("equal graphs built twice, between other nodes and under other names, have one hash", () => {
    const first = model();
    for (let i = 0; i < 10; i++) exp(input(`noise${i}`, [i]));
    expect(model().hash).toBe(first.hash);
    expect(model({ names: ["features", "weight"] }).hash).toBe(first.hash);
  });

  test("it does not depend on the order in which leaves were made", () => {
    const [a, b] = [input("a", [2]), input("b", [2])];
    const [d, c] = [input("d", [2]), input("c", [2])];
    expect(new Graph([sub(a, b)]).hash).toBe(new Graph([sub(c, d)]).hash);
  });

  test("another shape, attribute or constant gives another hash", () => {
    const hashes = [{}, { width: 5 }, { eps: 1e-6 }, { transB: true }, { table: 2 }].map((o) => model(o).hash);
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test("wiring, order of outputs, dtype, kind of leaf and free dimensions count", () => {
    const [a, b] = [input("a", [2]), input("b", [2])];
    const p = input("p", [sym("P")]);
    const graphs = [
      [add(a, b)],
      [add(a, a)],
      [sub(a, b)],
      [sub(a, b), a],
      [a, sub(a, b)],
      [neg(a)],
      [neg(input("i", [2], "int32"))],
      [neg(random("r", [2]))],
      [neg(new Variable("v", [2]).tensor)],
      [neg(p)],
      [neg(input("q", [addDims(sym("P"), 1)]))],
      [mul(a, -2)],
      [mul(a, 2)],
      [mul(a, constant(Float32Array.of(2, 2), [2]))],
    ];
    expect(new Set(graphs.map((outputs) => new Graph(outputs).hash)).size).toBe(graphs.length);
  });
});

describe("structure", () => {
  test("inputs come before users, each node once, leaves in order of first use", () => {
    const [a, b, c] = [input("a", [2]), input("b", [2]), input("c", [2])];
    const shared = exp(b);
    const graph = new Graph([sub(shared, mul(shared, c)), a]);
    expect(graph.inputs).toEqual([b, c, a]);
    expect(new Set(graph.nodes).size).toBe(graph.nodes.length);
    graph.nodes.forEach((node, i) => {
      for (const x of node.inputs) expect(graph.nodes.indexOf(x)).toBeLessThan(i);
    });
  });

  test("a chain of 50,000 nodes is no deeper than any other", () => {
    let x: Tensor = input("x", []);
    for (let i = 0; i < 50_000; i++) x = exp(x);
    expect(topological([x]).length).toBe(50_001);
    expect(new Graph([x]).hash).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe("bind", () => {
  const [p, t] = [sym("P"), sym("T")];
  const joined = input("joined", [addDims(p, t), 2]);
  const past = input("past", [p, 2]);
  const now = input("now", [t, 2]);
  const graph = new Graph([joined, past, now].map((x) => sum(x)));

  test("learns every name, whatever the order of the inputs", () => {
    expect(graph.inputs.map((x) => x.leaf)).toEqual([joined.leaf, past.leaf, now.leaf]);
    expect(
      Object.fromEntries(
        graph.bind([
          [7, 2],
          [4, 2],
          [3, 2],
        ]),
      ),
    ).toEqual({ P: 4, T: 3 });
  });

  test("a shape that contradicts what is known names the input and both shapes", () => {
    expect(() =>
      graph.bind([
        [8, 2],
        [4, 2],
        [3, 2],
      ]),
    ).toThrow(/input "joined" has shape \[8, 2\], expected \[P\+T, 2\]/);
    expect(() =>
      graph.bind([
        [7, 2],
        [4, 3],
        [3, 2],
      ]),
    ).toThrow(/input "past" has shape \[4, 3\]/);
    expect(() => graph.bind([[7, 2], [4], [3, 2]])).toThrow(ShapeError);
  });

  test("a name that no shape determines is an error", () => {
    const twice = new Graph([sum(input("x", [mulDims(2, p)]))]);
    expect(() => twice.bind([[6]])).toThrow(/dimension "P" of input "x" stays unknown/);
  });
});

describe("errors while building", () => {
  const failure = (build: () => unknown): CarambaError => {
    try {
      build();
    } catch (error) {
      if (error instanceof CarambaError) return error;
      throw error;
    }
    throw new Error("no error was thrown");
  };

  test("they name the layer path, the op and the shapes", () => {
    const [a, b] = [input("a", [2, 3]), input("b", [4, 5])];
    const error = failure(() => withScope("model.decoder.3", () => withScope("attention", () => matmul(a, b))));
    expect(error).toBeInstanceOf(ShapeError);
    expect(error.code).toBe("shape");
    expect(error.message).toContain("model.decoder.3.attention: matmul: ");
    expect(error.message).toContain("[2, 3] x [4, 5]");
    expect(error.remedy).toBeTruthy();
    // The scope ended with the error.
    expect(exp(a).scope).toBe("");
  });

  test("dtypes are never mixed, not even where a value would not change", () => {
    const [x, i] = [input("x", [2]), input("i", [2], "int32")];
    for (const build of [
      () => add(x, i),
      () => add(x, scalar(0, "int32")),
      () => mul(scalar(1, "int32"), x),
      () => add(cast(x, "bool"), scalar(0, "bool")),
      () => equal(x, i),
      () => matmul(input("m", [2, 2], "int32"), input("n", [2, 2], "int32")),
      () => exp(i),
    ])
      expect(failure(build).code).toBe("shape");
    expect(add(x, 0)).toBe(x);
    expect(mul(i, 1)).toBe(i);
  });

  test("bad shapes and axes", () => {
    const x = input("x", [2, 3]);
    for (const build of [
      () => input("y", [-1]),
      () => input("y", [1.5]),
      () => constant(new Float32Array(3), [2]),
      () => reshape(x, [4]),
      () => reshape(x, [-1, 4]),
      () => transpose(x, [0, 0]),
      () => sum(x, [2]),
      () => grad(x, [x]),
    ])
      expect(failure(build).code).toBe("shape");
  });

  test("an op without a gradient says which", () => {
    const x = input("x", [2]);
    const stuck = { name: "stuck", infer: () => ({ shape: [], dtype: "float32" as const }) };
    const error = failure(() => withScope("head", () => grad(makeNode(stuck, [x], {}), [x])));
    expect([error.code, error.message]).toEqual(["no-gradient", expect.stringContaining("head")]);
  });
});
