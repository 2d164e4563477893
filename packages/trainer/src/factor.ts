// Best low-rank factors of a bilinear form, from small Gram matrices.
//
// For stacked left factors L_h [D, m] (h = 1..G) and one right factor R [D, m], the form is B_h = L_h R^T. Its best
// approximation of rank r in the sum over h of |M_l (B_h - B'_h) M_r|^2 keeps both factors in their column spaces:
// L'_h = L_h X and R' = R Y with X, Y [m, r]. With symmetric roots P of sum_h L_h^T C L_h and Q of R^T C R, the SVD
// P Q^T = U S V^T gives X = P^+ U_r S_r^(1/2) and Y = Q^+ V_r S_r^(1/2) (Eckart-Young in the factors' own coordinates).
// Roots and pseudo-inverses come from the eigenvalues of the m x m Grams, so D never enters a decomposition.
import { EigenvalueDecomposition, Matrix as MlMatrix, SingularValueDecomposition } from "ml-matrix";

/** Row-major float64 matrix. */
export interface Matrix {
  readonly data: Float64Array;
  readonly rows: number;
  readonly columns: number;
}

export function matrix(data: Float64Array, rows: number, columns: number): Matrix {
  return { data, rows, columns };
}

/** a b. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  const out = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++)
    for (let k = 0; k < a.columns; k++) {
      const v = a.data[i * a.columns + k] as number;
      if (v === 0) continue;
      for (let j = 0; j < b.columns; j++)
        out[i * b.columns + j] = (out[i * b.columns + j] as number) + v * (b.data[k * b.columns + j] as number);
    }
  return matrix(out, a.rows, b.columns);
}

/** m^T c m, c the identity when absent. */
export function gram(m: Matrix, c?: Matrix): Matrix {
  const weighted = c ? multiply(c, m) : m;
  const n = m.columns;
  const out = new Float64Array(n * n);
  for (let r = 0; r < m.rows; r++)
    for (let i = 0; i < n; i++) {
      const v = m.data[r * n + i] as number;
      for (let j = 0; j < n; j++)
        out[i * n + j] = (out[i * n + j] as number) + v * (weighted.data[r * n + j] as number);
    }
  return matrix(out, n, n);
}

/** Symmetric root and its pseudo-inverse of a positive semi-definite matrix. */
function roots(g: Matrix): { root: MlMatrix; inverse: MlMatrix; rank: number } {
  const n = g.rows;
  const symmetric = MlMatrix.from1DArray(n, n, Array.from(g.data));
  const half = symmetric.clone().add(symmetric.transpose()).mul(0.5);
  const evd = new EigenvalueDecomposition(half, { assumeSymmetric: true });
  const values = evd.realEigenvalues;
  const vectors = evd.eigenvectorMatrix;
  const cut = Math.max(0, ...values) * 1e-12;
  const spectrum = (f: (v: number) => number) =>
    vectors.mmul(MlMatrix.diag(values.map((v) => (v > cut ? f(v) : 0)))).mmul(vectors.transpose());
  return {
    root: spectrum(Math.sqrt),
    inverse: spectrum((v) => 1 / Math.sqrt(v)),
    rank: values.filter((v) => v > cut).length,
  };
}

/** Factors X, Y [m, r]; `rank` of X says how many of their columns are not zero. */
export interface FormFactors {
  readonly left: Matrix & { readonly rank: number };
  readonly right: Matrix;
}

/**
 * Factors of rank r for sum_h L_h R^T; columns beyond the form's rank are zero. `c` weighs the right side, and the left
 * too unless `weighLeft` is false (an output side that no input covariance touches).
 */
export function factorForm(
  lefts: readonly Matrix[],
  right: Matrix,
  c: Matrix | undefined,
  r: number,
  weighLeft = true,
): FormFactors {
  const m = right.columns;
  const empty = () => matrix(new Float64Array(m * r), m, r);
  if (m === 0) return { left: { ...empty(), rank: 0 }, right: empty() };
  const total = new Float64Array(m * m);
  for (const left of lefts) {
    const g = gram(left, weighLeft ? c : undefined);
    for (let i = 0; i < total.length; i++) total[i] = (total[i] as number) + (g.data[i] as number);
  }
  const p = roots(matrix(total, m, m));
  const q = roots(gram(right, c));
  const svd = new SingularValueDecomposition(p.root.mmul(q.root.transpose()), { autoTranspose: true });
  const singular = svd.diagonal;
  const largest = Math.max(0, ...singular);
  const rank = Math.min(r, singular.filter((v) => v > largest * 1e-10).length);
  const side = (inverse: MlMatrix, vectors: MlMatrix): Matrix => {
    const out = empty();
    const mapped = inverse.mmul(vectors);
    for (let i = 0; i < m; i++)
      for (let j = 0; j < rank; j++) out.data[i * r + j] = mapped.get(i, j) * Math.sqrt(singular[j] as number);
    return out;
  };
  return {
    left: { ...side(p.inverse, svd.leftSingularVectors), rank },
    right: side(q.inverse, svd.rightSingularVectors),
  };
}
