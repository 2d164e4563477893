// How numbers become text in tables, labels and prose. One rule for what was not measured ("n/a") and one for what is
// not finite, so that no artifact can turn either into 0.

/** Text of a value that was not measured. */
export const NOT_AVAILABLE = "n/a";

function special(value: number | null | undefined): string | null {
  if (value === null || value === undefined) return NOT_AVAILABLE;
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  return null;
}

/** Fixed decimals: `fixed(8.4231, 2)` is `8.42`. Values of 1e6 and more, and tiny ones that would read 0, go to powers. */
export function fixed(value: number | null | undefined, digits: number): string {
  const text = special(value);
  if (text !== null || value === null || value === undefined) return text ?? NOT_AVAILABLE;
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 0.5 * 10 ** -digits)) return value.toExponential(2);
  return value.toFixed(digits);
}

/** Whole numbers with thin grouping: `77824` is `77,824`. */
export function integer(value: number | null | undefined): string {
  const text = special(value);
  if (text !== null || value === null || value === undefined) return text ?? NOT_AVAILABLE;
  if (Math.abs(value) >= 1e15) return value.toExponential(2);
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** Three significant digits, for labels where any magnitude may come: 8.42, 156, 2.34e+6. */
export function compact(value: number | null | undefined): string {
  const text = special(value);
  if (text !== null || value === null || value === undefined) return text ?? NOT_AVAILABLE;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  if (size >= 1000) return integer(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** Counts with an SI letter: `16777216` is `16.8M`. */
export function count(value: number | null | undefined): string {
  const text = special(value);
  if (text !== null || value === null || value === undefined) return text ?? NOT_AVAILABLE;
  for (const [size, letter] of [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (Math.abs(value) >= size) return `${(value / size).toFixed(Math.abs(value) >= 100 * size ? 0 : 1)}${letter}`;
  }
  return String(value);
}

/** A share as per cent: `percent(0.053)` is `5.3 %`. */
export function percent(share: number | null | undefined, digits: number = 1): string {
  return share === null || share === undefined || !Number.isFinite(share)
    ? (special(share) ?? NOT_AVAILABLE)
    : `${fixed(100 * share, digits)} %`;
}

/** Quotient of two measurements, or null where either is missing or it has no meaning. */
export function quotient(a: number | null | undefined, b: number | null | undefined): number | null {
  if (a === null || a === undefined || b === null || b === undefined || b === 0) return null;
  const value = a / b;
  return Number.isNaN(value) ? null : value;
}
