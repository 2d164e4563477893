// Loops against loops in plain JavaScript, with open lengths, and what they refuse.
import { describe, expect, it } from "vitest";
import { grad } from "../autodiff.ts";
import { mulDims, sym } from "../dim.ts";
import { graphFlops } from "../flops.ts";
import { Graph } from "../graph.ts";
import { largestError, runOn, weightedSum } from "../matrix.ts";
import { Philox } from "../random.ts";
import { ReferenceBackend } from "../reference.ts";
import { input, makeNode, type Tensor } from "../tensor.ts";
import { add, mul, tanh } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { scan } from "./scan.ts";
import { loopBody } from "./scan-body.ts";
import { concat, reshape, slice, sum } from "./shape.ts";

const backend = new ReferenceBackend();
const f32 = (...values: number[]) => Float32Array.from(values);

describe("scan", () => {
  it.each([false, true])("runs over an open number of rows, reverse %s", async (reverse) => {
    const [h, a, b] = [input("h", []), input("a", [sym("T")]), input("b", [sym("T")])];
    const { carry, out } = scan({ carry: [h], xs: [a, b], reverse }, ([now], [at, bt]) => {
      const next = add(mul(now as typeof h, at as typeof h), bt as typeof h);
      return { carry: [next], out: [mul(next, 2)] };
    });
    for (const length of [1, 2, 5]) {
      const as = Float32Array.from({ length }, (_, i) => 0.5 + i / 8);
      const bs = Float32Array.from({ length }, (_, i) => i - 1.5);
      let state = 3;
      const expected = new Array<number>(length);
      for (let n = 0; n < length; n++) {
        const t = reverse ? length - 1 - n : n;
        state = state * (as[t] as number) + (bs[t] as number);
        expected[t] = 2 * state;
      }
      const graph = new Graph([...carry, ...out]);
      const executable = await backend.compile(graph);
      const fed = graph.inputs.map((leaf) =>
        leaf === h ? backend.upload(f32(3), [], "float32") : backend.upload(leaf === a ? as : bs, [length], "float32"),
      );
      const [last, rows] = await executable.run(fed);
      expect([...(await backend.read(last as NonNullable<typeof last>))]).toEqual([Math.fround(state)]);
      expect([...(await backend.read(rows as NonNullable<typeof rows>))]).toEqual(expected.map(Math.fround));
    }
  });

  it("has second derivatives", async () => {
    // h_2 = x_1 x_2^2 with h_0 = 1 and h_t = h x_t^t: d^2 / dx_1 dx_2 = 2 x_2.
    const [one, x, power] = [input("one", []), input("x", [2]), input("p", [2])];
    const { carry } = scan({ carry: [one], xs: [x, power] }, ([h], [xt, p]) => {
      const value = xt as typeof x;
      // x^p for p of 1 or 2 without pow: x (1 + (p - 1)(x - 1)).
      const raised = mul(value, add(1, mul(add(p as typeof x, -1), add(value, -1))));
      return { carry: [mul(h as typeof x, raised)], out: [] };
    });
    const [first] = grad(carry[0] as typeof x, [x]);
    const [second] = grad(sum(mul(first as typeof x, input("v", [2]))), [x]);
    const leaves = new Graph([second as typeof x]).inputs;
    const values = leaves.map((leaf) => {
      const { name } = leaf.leaf as { name: string };
      return name === "one" ? f32(1) : name === "x" ? f32(3, 5) : name === "p" ? f32(1, 2) : f32(1, 0);
    });
    const [d] = await runOn(backend, [second as typeof x], leaves, values);
    expect([...(d as Float64Array)]).toEqual([0, 10]);
  });

  it.each([false, true])("has the gradients of the same steps written out, reverse %s", async (reverse) => {
    const rows = 4;
    const leaves = [
      input("h", [2, 3]),
      input("c", [2, 3]),
      input("kept", [2]),
      input("x", [rows, 2, 3]),
      input("y", [rows, 2]),
      input("w", [3, 3]),
      input("u", [3, 3]),
      input("s", [3]),
    ] as const;
    const [h0, c0, kept, x, y, w, u, s] = leaves;
    // Two carries that feed each other and one that stays; a matrix read once, one read twice and transposed, a vector.
    const step = (h: Tensor, c: Tensor, k: Tensor, xt: Tensor, yt: Tensor, a: Tensor, b: Tensor, v: Tensor) => {
      const next = tanh(add(matmul(h, a), mul(xt, v)));
      const other = add(matmul(c, b), mul(matmul(next, b, { transB: true, alpha: 0.5 }), reshape(k, [2, 1])));
      return { h: next, c: other, out: mul(sum(mul(next, c), [1]), yt) };
    };
    const loop = scan(
      { carry: [h0, c0, kept], xs: [x, y], shared: [w, u, s], reverse },
      ([h, c, k], [xt, yt], [a, b, v]) => {
        const all = [h, c, k, xt, yt, a, b, v] as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
        const next = step(...all);
        return { carry: [next.h, next.c, k as Tensor], out: [next.out, c as Tensor] };
      },
    );
    const outs = new Array<Tensor>(rows);
    const before = new Array<Tensor>(rows);
    let [h, c]: [Tensor, Tensor] = [h0, c0];
    for (let n = 0; n < rows; n++) {
      const t = reverse ? rows - 1 - n : n;
      before[t] = reshape(c, [1, 2, 3]);
      const next = step(
        h,
        c,
        kept,
        reshape(slice(x, 0, t, t + 1), [2, 3]),
        reshape(slice(y, 0, t, t + 1), [2]),
        w,
        u,
        s,
      );
      outs[t] = reshape(next.out, [1, 2]);
      [h, c] = [next.h, next.c];
    }
    const unrolled = [h, c, kept, concat(outs, 0), concat(before, 0)];
    const random = new Philox(7);
    const values = leaves.map(({ shape }) =>
      Float32Array.from({ length: shape.reduce<number>((a, b) => a * (b as number), 1) }, () => random.normal() / 2),
    );
    const losses = [[...loop.carry, ...loop.out], unrolled].map((results) =>
      results.map((value, i) => weightedSum(value, i)).reduce((a, b) => add(a, b)),
    );
    const [found, expected] = await Promise.all(
      losses.map((loss) => runOn(backend, [loss, ...grad(loss, leaves)], leaves, values)),
    );
    expected?.forEach((value, i) => {
      expect(largestError(found?.[i] ?? [], value), `${i}`).toBeLessThan(1e-12);
      expect(Math.max(...value.map(Math.abs))).toBeGreaterThan(0.01);
    });
  });

  it("counts the products of every step once", () => {
    const [h, x, w] = [input("h", [2, 3]), input("x", [7, 2, 3]), input("w", [3, 3])];
    const { carry, out } = scan({ carry: [h], xs: [x], shared: [w] }, ([now], [xt], [weight]) => {
      const next = tanh(add(matmul(now as typeof h, weight as typeof w), xt as typeof h));
      return { carry: [next], out: [next] };
    });
    expect(graphFlops(new Graph([...carry, ...out]))).toBe(7 * 2 * 2 * 3 * 3);
  });

  it("counts the products of a loop in a loop once, whatever is read of it, over open lengths too", () => {
    const [h, x, w] = [input("h", [2, 3]), input("x", [sym("N"), sym("T"), 2, 3]), input("w", [3, 3])];
    const { carry } = scan({ carry: [h], xs: [x], shared: [w] }, ([now], [rows], [weight]) => {
      const inner = scan({ carry: [now as Tensor], xs: [rows as Tensor], shared: [weight as Tensor] }, (c, r, s) => {
        const next = add(matmul(c[0] as Tensor, s[0] as Tensor), r[0] as Tensor);
        return { carry: [next], out: [next] };
      });
      return { carry: [add(inner.carry[0] as Tensor, sum(inner.out[0] as Tensor, [0]))], out: [] };
    });
    const sizes = new Map([
      ["N", 5],
      ["T", 7],
    ]);
    expect(graphFlops(new Graph(carry), sizes)).toBe(5 * 7 * 2 * 2 * 3 * 3);
  });

  it("runs over no rows at all: carries stay, stacks are empty, and nothing reaches what is shared", async () => {
    const [h, x, w] = [input("h", [2, 3]), input("x", [0, 2, 3]), input("w", [3, 3])];
    const { carry, out } = scan({ carry: [h], xs: [x], shared: [w] }, ([now], [xt], [weight]) => {
      const next = tanh(add(matmul(now as Tensor, weight as Tensor), xt as Tensor));
      return { carry: [next], out: [next] };
    });
    const loss = add(weightedSum(carry[0] as Tensor), sum(out[0] as Tensor));
    const start = f32(1, 2, 3, 4, 5, 6);
    const [last, rows, dh, dw] = await runOn(
      backend,
      [...carry, ...out, ...grad(loss, [h, w])],
      [h, x, w],
      [start, f32(), new Float32Array(9).fill(2)],
    );
    expect([...(last ?? [])]).toEqual([...start]);
    expect(rows).toHaveLength(0);
    const weights = await runOn(backend, grad(weightedSum(h), [h]), [h], [start]);
    expect([dh]).toEqual(weights);
    expect([...(dw ?? [])]).toEqual(new Array(9).fill(0));
  });

  it("fills free sizes in, computed ones too, whichever comes first", () => {
    const width = sym("D");
    const [h, x] = [input("h", [mulDims(2, width)]), input("x", [4, width])];
    const { carry, out } = scan({ carry: [h], xs: [x] }, ([now], [xt]) => {
      const next = add(now as Tensor, concat([xt as Tensor, xt as Tensor], 0));
      return { carry: [next], out: [next] };
    });
    const filledIn = [...carry, ...out].map(({ op, attrs }) =>
      makeNode(op, [input("h", [10]), input("x", [4, 5])], attrs),
    );
    expect(filledIn.map((node) => node.shape)).toEqual([[10], [4, 10]]);
    const { op, attrs } = carry[0] as Tensor;
    expect(() => makeNode(op, [input("h", [9]), input("x", [4, 5])], attrs)).toThrow(/the step reads .*given \[9\]/);
  });

  it("adds a matrix' gradients by one product over all rows", () => {
    const [h, x, w] = [input("h", [2, 3]), input("x", [7, 2, 3]), input("w", [3, 3])];
    const { carry } = scan({ carry: [h], xs: [x], shared: [w] }, ([now], [xt], [weight]) => {
      const next = tanh(add(matmul(now as typeof h, weight as typeof w), xt as typeof h));
      return { carry: [next], out: [] };
    });
    const [dw] = grad(sum(carry[0] as typeof h), [w]);
    expect(dw?.op.name).toBe("matmul");
    expect(dw?.inputs.map((side) => side.shape)).toEqual([
      [14, 3],
      [14, 3],
    ]);
  });

  it("is one node for equal steps, and reads only what the step reads", () => {
    const [h, x, y] = [input("h", [2]), input("x", [4, 2]), input("y", [4, 2])];
    const build = () =>
      scan({ carry: [h], xs: [x, y], shared: [x] }, ([now], [xt]) => ({
        carry: [mul(now as typeof h, xt as typeof h)],
        out: [],
      })).carry[0] as typeof h;
    expect(build()).toBe(build());
    expect(build().inputs).toEqual([h, x]);
    expect(loopBody(build())?.xs.length).toBe(1);
    expect(loopBody(h)).toBeUndefined();
    const other = scan({ carry: [h], xs: [x] }, ([now], [xt]) => ({
      carry: [mul(xt as typeof h, now as typeof h)],
      out: [],
    })).carry[0];
    expect(other).not.toBe(build());
  });

  it("refuses rows that are none, carries that change, values it was not given", () => {
    const [h, x] = [input("h", [2]), input("x", [4, 2])];
    const same = ([now]: readonly (typeof h)[]) => ({ carry: [now as typeof h], out: [] });
    expect(() => scan({ carry: [h], xs: [] }, same)).toThrow(/no rows/);
    expect(() => scan({ carry: [h], xs: [x] }, ([now]) => ({ carry: [sum(now as typeof h)], out: [] }))).toThrow(
      /of the carry/,
    );
    expect(() =>
      scan({ carry: [h], xs: [x] }, ([now]) => ({ carry: [mul(now as typeof h, input("z", [2]))], out: [] })),
    ).toThrow(/was not given/);
    expect(() =>
      scan({ carry: [h], xs: [x, input("y", [5, 2])] }, ([now], [a, b]) => ({
        carry: [add(now as typeof h, add(a as typeof h, b as typeof h))],
        out: [],
      })),
    ).toThrow(/rows/);
  });
});
