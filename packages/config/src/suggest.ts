/** "Did you mean": the closest of a list of names by edit distance (insert, delete, replace, swap neighbours). */

/** The closest name, or undefined when nothing is near enough to be a plausible slip. */
export function closest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  const plain = normal(name);
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) > 12) continue;
    const other = normal(candidate);
    const affix = Math.min(plain.length, other.length) >= 4 && (other.startsWith(plain) || plain.startsWith(other));
    let distance = affix ? Math.min(2, editDistance(plain, other)) : editDistance(plain, other);
    if (candidate.includes("."))
      distance = Math.min(distance, 1 + editDistance(plain, normal(candidate.split(".").at(-1) ?? "")));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  // Something of the name must be left: any letter is one slip from any other.
  return bestDistance <= Math.max(1, Math.floor(plain.length / 3)) && bestDistance < Math.max(1, plain.length)
    ? best
    : undefined;
}

function normal(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}

/** Optimal string alignment distance. Time and memory |a| x |b|; names longer than 64 are compared by their start. */
export function editDistance(first: string, second: string): number {
  const a = first.slice(0, 64);
  const b = second.slice(0, 64);
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const replace = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(at(i - 1, j) + 1, (row[j - 1] ?? 0) + 1, replace);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j] ?? 0, at(i - 2, j - 2) + 1);
      }
    }
  }
  return at(a.length, b.length);
}
