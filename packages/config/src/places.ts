/**
 * Where the objects of a plan stand in their manifest. A plan is plain data and the same for both forms; whoever finds
 * something wrong with a part of it asks here for the path that a person must change.
 */
export type Path = (string | number)[];

interface Place {
  readonly path: Path;
  /** Fields that the manifest keeps elsewhere, e.g. a target's `model`. */
  readonly fields: Readonly<Record<string, Path>>;
}

const places = new WeakMap<object, Place>();

/** Remembers the place of a target, run, benchmark or of the defaults. */
export function notePlace(part: object, path: Path, fields: Place["fields"] = {}): void {
  places.set(part, { path, fields });
}

/**
 * The path of a part of a plan, or of a field below it, in manifest spelling. Empty for objects that no manifest made
 * (copies of a plan's parts, plans built in code).
 */
export function placeOf(part: object, ...keys: Path): Path {
  const place = places.get(part);
  if (place === undefined) return [];
  const [first, ...rest] = keys;
  const elsewhere = typeof first === "string" ? place.fields[first] : undefined;
  return elsewhere ? [...elsewhere, ...rest] : [...place.path, ...keys];
}
