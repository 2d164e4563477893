// Plain text tables: the first column to the left, the others to the right.

/** Rows as lines, columns aligned; the first row is the head. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  const [head = [], ...body] = rows;
  return [line(head), widths.map((w) => "-".repeat(w)).join("  "), ...body.map(line)].join("\n");
}

/** A number with about four significant digits. */
export function digits(x: number): string {
  if (!Number.isFinite(x)) return "-";
  if (Math.abs(x) >= 100) return x.toFixed(0);
  return Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2);
}

/** `smallest-largest`. */
export const span = ([low, high]: readonly [number, number]): string => `${digits(low)}-${digits(high)}`;
