// Medians and ranges: times on a shared machine have long upper tails, which a mean would follow.

/** The middle value; the mean of the two middle ones of an even number. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Smallest and largest. */
export function range(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

/** Median and range over rounds of the ratio of two subjects' medians in the same round. */
export function pairedRatio(
  over: readonly (readonly number[])[],
  under: readonly (readonly number[])[],
): { readonly median: number; readonly range: readonly [number, number] } {
  const ratios = over.map((values, i) => median(values) / median(under[i] ?? []));
  return { median: median(ratios), range: range(ratios) };
}
