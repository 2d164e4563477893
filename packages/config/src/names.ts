/**
 * The one mapping between the two spellings of a field: manifests write `sem_dim`, code writes `semDim`.
 * Schemas are declared in the manifest's spelling; `object()` in schema.ts converts on the way in,
 * `snakeKeys` converts what a TypeScript program hands over. Every field name must survive the round trip (tested).
 */

/** `"sem_dim"` -> `"semDim"` at the type level. */
export type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;

/** The same object type with its own keys in camelCase (values untouched: nested objects convert themselves). */
export type CamelKeys<T> = { [K in keyof T as K extends string ? Camel<K> : K]: T[K] };

/** `sem_dim` -> `semDim`. */
export function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** `semDim` -> `sem_dim`. */
export function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * Deep copy of plain data with every key in manifest spelling. `undefined` members are dropped, so that
 * `{ attnDim: undefined }` means the default. Throws a RangeError on data that contains itself or is nested too deep.
 */
export function snakeKeys(value: unknown): unknown {
  return copy(value, new Set());
}

const maxLevels = 400;

function copy(value: unknown, open: Set<object>): unknown {
  if (value === null || typeof value !== "object") return value;
  if (open.has(value) || open.size >= maxLevels) throw new RangeError("data contains itself or is too deep");
  open.add(value);
  const result = Array.isArray(value)
    ? value.map((item) => copy(item, open))
    : Object.fromEntries(
        Object.entries(value)
          .filter(([, member]) => member !== undefined)
          .map(([key, member]) => [snake(key), copy(member, open)]),
      );
  open.delete(value);
  return result;
}
