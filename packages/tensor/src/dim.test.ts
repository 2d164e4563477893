import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addDims,
  type Dim,
  dimEquals,
  dimKey,
  divDims,
  evalDim,
  evalShape,
  mulDims,
  type SymDim,
  shapeText,
  sizeOf,
  staticShape,
  subDims,
  sym,
  symbolsOf,
} from "./dim.ts";
import { CarambaError } from "./errors.ts";

const names = ["P", "T", "batch_2"] as const;
const bindings = fc
  .record({ P: fc.nat(50), T: fc.nat(50), batch_2: fc.nat(50) })
  .map((r) => new Map(Object.entries(r)));

/** A dimension, and the same polynomial as a plain function of the sizes. */
interface Expression {
  readonly dim: Dim;
  readonly at: (b: ReadonlyMap<string, number>) => number;
}

const leaf: fc.Arbitrary<Expression> = fc.oneof(
  fc.integer({ min: -4, max: 4 }).map((n) => ({ dim: n, at: () => n })),
  fc
    .constantFrom(...names)
    .map((name) => ({ dim: sym(name), at: (b: ReadonlyMap<string, number>) => b.get(name) as number })),
);

const expression: fc.Arbitrary<Expression> = fc.letrec<{ node: Expression }>((tie) => ({
  node: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc.tuple(fc.constantFrom("+", "-", "*"), tie("node"), tie("node")).map(([op, x, y]): Expression => {
      if (op === "+") return { dim: addDims(x.dim, y.dim), at: (b) => x.at(b) + y.at(b) };
      if (op === "-") return { dim: subDims(x.dim, y.dim), at: (b) => x.at(b) - y.at(b) };
      return { dim: mulDims(x.dim, y.dim), at: (b) => x.at(b) * y.at(b) };
    }),
  ),
})).node;

describe("dimensions as polynomials", () => {
  test("sums, differences and products evaluate like numbers", () => {
    fc.assert(
      fc.property(expression, bindings, ({ dim, at }, b) => {
        // -0 has no meaning for an extent.
        expect(evalDim(dim, b) + 0).toBe(at(b) + 0);
      }),
    );
  });

  test("the canonical form does not depend on how a polynomial was written", () => {
    fc.assert(
      fc.property(expression, expression, expression, ({ dim: a }, { dim: b }, { dim: c }) => {
        expect(dimEquals(addDims(a, b), addDims(b, a))).toBe(true);
        expect(dimEquals(mulDims(a, b), mulDims(b, a))).toBe(true);
        expect(dimEquals(mulDims(a, addDims(b, c)), addDims(mulDims(a, b), mulDims(a, c)))).toBe(true);
        expect(dimEquals(addDims(subDims(a, b), b), a)).toBe(true);
        expect(subDims(a, a)).toBe(0);
      }),
    );
  });

  test("dimensions that are equal have equal keys, and different polynomials differ", () => {
    fc.assert(
      fc.property(expression, expression, ({ dim: a }, { dim: b }) => {
        expect(dimEquals(a, b)).toBe(dimKey(a) === dimKey(b));
        expect(dimEquals(a, b)).toBe(subDims(a, b) === 0);
        expect(dimEquals(a, addDims(a, 1))).toBe(false);
      }),
    );
  });

  test("a polynomial without free sizes is a number", () => {
    const p = sym("P");
    expect(subDims(addDims(p, 3), p)).toBe(3);
    expect(mulDims(p, 0)).toBe(0);
  });

  test("division undoes multiplication by a product, and is undefined where it is not exact", () => {
    const divisor = fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.subarray([...names]))
      .map(([k, factors]) => factors.reduce<Dim>((d, name) => mulDims(d, sym(name)), k));
    fc.assert(
      fc.property(expression, divisor, ({ dim }, by) => {
        const back = divDims(mulDims(dim, by), by) as Dim;
        expect(dimEquals(back, dim)).toBe(true);
        const quotient = divDims(dim, by);
        if (quotient !== undefined) expect(dimEquals(mulDims(quotient, by), dim)).toBe(true);
      }),
    );
    const [p, t] = [sym("P"), sym("T")];
    expect(divDims(7, 2)).toBeUndefined();
    expect(divDims(p, t)).toBeUndefined();
    expect(divDims(addDims(mulDims(2, p), 1), 2)).toBeUndefined();
    expect(divDims(mulDims(p, t), addDims(p, t))).toBeUndefined();
    expect(divDims(5, 0)).toBeUndefined();
    expect(divDims(addDims(p, t), addDims(t, p))).toBe(1);
  });

  test("only a single free size counts as a symbol", () => {
    const p = sym("P");
    expect(p.symbol).toBe("P");
    for (const d of [mulDims(2, p), mulDims(-1, p), addDims(p, 1), mulDims(p, p), mulDims(p, sym("T"))])
      expect((d as SymDim).symbol, dimKey(d)).toBeUndefined();
  });

  test("an unbound size is an error that names it", () => {
    const size = sizeOf([sym("P"), 3, sym("T")]);
    expect(() => evalDim(size, new Map([["P", 2]]))).toThrow(/"T" has no value/);
    expect(
      evalDim(
        size,
        new Map([
          ["P", 2],
          ["T", 5],
        ]),
      ),
    ).toBe(30);
  });

  test("names are words", () => {
    for (const bad of ["", "2P", "P*T", "P+1", "a b"]) expect(() => sym(bad), bad).toThrow(CarambaError);
  });
});

describe("shapes", () => {
  test("text, values, static form and names", () => {
    const shape = [2, addDims(sym("P"), 1), mulDims(3, sym("T"))];
    expect(shapeText(shape)).toBe("[2, 1+P, 3*T]");
    expect(
      evalShape(
        shape,
        new Map([
          ["P", 4],
          ["T", 2],
        ]),
      ),
    ).toEqual([2, 5, 6]);
    expect(staticShape(shape)).toBeUndefined();
    expect(staticShape([2, 3])).toEqual([2, 3]);
    expect(symbolsOf(shape)).toEqual(["P", "T"]);
    expect(sizeOf([])).toBe(1);
  });
});
