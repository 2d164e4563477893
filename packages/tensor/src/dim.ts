// Symbolic dimensions. A dimension is a number or a polynomial with integer coefficients over named sizes ("P", "T"):
// enough for what shapes need (sums from concat, products from reshape) and with a canonical form, so that equality
// is comparison of strings. A graph with the context length left open compiles once for a growing cache.
import { CarambaError } from "./errors.ts";

/** A polynomial over named sizes. Keys of `terms` are sorted products such as `P*T`, `""` for the constant. */
export class SymDim {
  readonly terms: ReadonlyMap<string, number>;
  readonly key: string;

  constructor(terms: ReadonlyMap<string, number>) {
    this.terms = terms;
    this.key = [...terms]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([product, k]) => (product === "" ? `${k}` : k === 1 ? product : `${k}*${product}`))
      .join("+");
  }

  toString(): string {
    return this.key;
  }

  /** The name, when this is a single free size such as `P`; else undefined. */
  get symbol(): string | undefined {
    return this.terms.size === 1 && /^[^*+]+$/.test(this.key) && !/^\d/.test(this.key) ? this.key : undefined;
  }
}

/** Extent of an axis: known, or symbolic. */
export type Dim = number | SymDim;
export type Shape = readonly Dim[];
/** Values of the free sizes. */
export type Bindings = ReadonlyMap<string, number>;

/** A free size, named with a letter first: letters, digits and underscores. */
export function sym(name: string): SymDim {
  if (!/^[A-Za-z_]\w*$/.test(name))
    throw new CarambaError(`"${name}" cannot name a dimension`, { code: "dim", remedy: "use letters, digits and _" });
  return new SymDim(new Map([[name, 1]]));
}

const termsOf = (d: Dim): ReadonlyMap<string, number> =>
  typeof d === "number" ? new Map(d === 0 ? [] : [["", d]]) : d.terms;

function normal(terms: Map<string, number>): Dim {
  for (const [product, k] of terms) if (k === 0) terms.delete(product);
  if (terms.size === 0) return 0;
  const constant = terms.get("");
  if (terms.size === 1 && constant !== undefined) return constant;
  return new SymDim(terms);
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const out = new Map(termsOf(a));
  for (const [product, k] of termsOf(b)) out.set(product, (out.get(product) ?? 0) + k);
  return normal(out);
}

export function mulDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a * b;
  const out = new Map<string, number>();
  for (const [p, k] of termsOf(a))
    for (const [q, l] of termsOf(b)) {
      const product = [...p.split("*"), ...q.split("*")].filter(Boolean).sort().join("*");
      out.set(product, (out.get(product) ?? 0) + k * l);
    }
  return normal(out);
}

export function subDims(a: Dim, b: Dim): Dim {
  return addDims(a, mulDims(b, -1));
}

/** a / b where that is exact (b a number dividing every coefficient, or a single product dividing every term), else undefined. */
export function divDims(a: Dim, b: Dim): Dim | undefined {
  if (dimEquals(a, b)) return 1;
  const divisor = [...termsOf(b)];
  const [first] = divisor;
  if (divisor.length !== 1 || first === undefined) return undefined;
  const [factors, k] = [first[0].split("*").filter(Boolean), first[1]];
  const out = new Map<string, number>();
  for (const [product, l] of termsOf(a)) {
    if (l % k !== 0) return undefined;
    const rest = product.split("*").filter(Boolean);
    for (const factor of factors) {
      const at = rest.indexOf(factor);
      if (at < 0) return undefined;
      rest.splice(at, 1);
    }
    out.set(rest.join("*"), l / k);
  }
  return normal(out);
}

export function dimEquals(a: Dim, b: Dim): boolean {
  return a === b || (typeof a !== "number" && typeof b !== "number" && a.key === b.key);
}

export function shapeEquals(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => dimEquals(d, b[i] as Dim));
}

/** Canonical text of a dimension. */
export function dimKey(d: Dim): string {
  return typeof d === "number" ? `${d}` : d.key;
}

/** `[2, 3, T]` for messages and keys. */
export function shapeText(shape: Shape): string {
  return `[${shape.map(dimKey).join(", ")}]`;
}

/** Number of elements. */
export function sizeOf(shape: Shape): Dim {
  return shape.reduce<Dim>(mulDims, 1);
}

/** The value of a dimension under bindings; throws where a name is unbound. */
export function evalDim(d: Dim, bindings: Bindings): number {
  if (typeof d === "number") return d;
  let total = 0;
  for (const [product, k] of d.terms) {
    let value = k;
    for (const name of product.split("*").filter(Boolean)) {
      const bound = bindings.get(name);
      if (bound === undefined)
        throw new CarambaError(`dimension "${name}" has no value`, {
          code: "dim",
          remedy: `give an input whose shape holds "${name}" alone`,
        });
      value *= bound;
    }
    total += value;
  }
  return total;
}

export function evalShape(shape: Shape, bindings: Bindings): number[] {
  return shape.map((d) => evalDim(d, bindings));
}

/** The shape as numbers, or undefined when any dimension is symbolic. */
export function staticShape(shape: Shape): number[] | undefined {
  return shape.every((d) => typeof d === "number") ? [...(shape as readonly number[])] : undefined;
}

/** Names of the free sizes in a shape. */
export function symbolsOf(shape: Shape): string[] {
  const names = new Set<string>();
  for (const d of shape)
    if (typeof d !== "number")
      for (const product of d.terms.keys()) for (const name of product.split("*").filter(Boolean)) names.add(name);
  return [...names];
}

/** Matches a declared shape against a concrete one, adding what is learned to `bindings`; false on a mismatch. */
export function bindShape(declared: Shape, concrete: readonly number[], bindings: Map<string, number>): boolean {
  if (declared.length !== concrete.length) return false;
  return declared.every((d, i) => {
    const n = concrete[i] as number;
    if (typeof d === "number") return d === n;
    const name = d.symbol;
    if (name === undefined || bindings.has(name))
      return symbolsOf([d]).every((s) => bindings.has(s)) ? evalDim(d, bindings) === n : true;
    bindings.set(name, n);
    return true;
  });
}
