/**
 * Building blocks of every schema: numeric kinds, closed word lists, and `object()`, a strict zod object that is
 * declared in manifest spelling (snake_case) and yields camelCase. Schemas are therefore `z.ZodType<Config>` where
 * `Config` is the hand-written interface; `exactly<Config>()` makes the compiler prove that the two are equal.
 */
import { z } from "zod";
import { type CamelKeys, camel } from "./names.ts";

/** Integer > 0. */
export const positiveInt: z.ZodNumber = z.number().int().positive();
/** Integer >= 0. */
export const nonNegativeInt: z.ZodNumber = z.number().int().nonnegative();
/** Finite number > 0. */
export const positive: z.ZodNumber = z.number().positive();
/** Finite number >= 0. */
export const nonNegative: z.ZodNumber = z.number().nonnegative();
/** Number in [0, 1]. */
export const probability: z.ZodNumber = z.number().min(0).max(1);
/** String with at least one character that is not white space. */
export const text: z.ZodString = z.string().regex(/\S/, "expected a non-empty string");

type StrictObject<S extends z.ZodRawShape> = z.ZodObject<S, z.core.$strict>;

/** What `object()` returns: a strict object followed by the renaming of its keys. */
export type ObjectSchema<S extends z.ZodRawShape> = z.ZodPipe<
  StrictObject<S>,
  z.ZodTransform<CamelKeys<z.output<StrictObject<S>>>, z.output<StrictObject<S>>>
>;

/** A rule broken inside one object: `path` in manifest spelling, relative to the object. */
export interface RuleIssue {
  path: (string | number)[];
  message: string;
  /** Other parts of the manifest that the finding rests on; of no weight where those are wrong themselves. */
  leansOn?: readonly (string | number)[][];
}

/**
 * Strict object: an unknown key is an error. `rules` sees the finished camelCase value and returns what is wrong
 * with it as a whole; it runs only when every field is valid by itself.
 */
export function object<S extends z.ZodRawShape>(
  shape: S,
  rules?: (value: CamelKeys<z.output<StrictObject<S>>>) => RuleIssue[],
): ObjectSchema<S> {
  const pairs = Object.keys(shape).map((key) => [key, camel(key)] as const);
  const renamed = z.strictObject(shape).transform((value) => {
    const source = value as Record<string, unknown>;
    const result: Record<string, unknown> = {};
    for (const [from, to] of pairs) if (from in source) result[to] = source[from];
    return result as CamelKeys<z.output<StrictObject<S>>>;
  });
  if (rules === undefined) return renamed as ObjectSchema<S>;
  return renamed.superRefine((value, context) => {
    if (!rulesHold) return;
    for (const { path, message } of rules(value)) context.addIssue({ code: "custom", path, message });
  }) as ObjectSchema<S>;
}

let rulesHold = true;

/** What `work` parses may break the rules of objects; fields are still checked one by one. */
export function withoutRules<T>(work: () => T): T {
  rulesHold = false;
  try {
    return work();
  } finally {
    rulesHold = true;
  }
}

type Equal<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
type Keys<T> = T extends unknown ? keyof T : never;

/**
 * `exactly<Config>()(schema)` is `schema`, typed `z.ZodType<Config>`, and a compile-time error unless the schema's
 * output and `Config` are the same type: the interface people read cannot drift from what is parsed.
 */
export function exactly<T>(): <S extends z.ZodType>(
  schema: Equal<z.output<S>, T> extends true ? (Equal<Keys<z.output<S>>, Keys<T>> extends true ? S : never) : never,
) => z.ZodType<T> {
  return (schema) => schema as unknown as z.ZodType<T>;
}

/**
 * Union of object schemas told apart by the literal in `key`; an unknown word is reported with the known ones.
 * (The cast restores what `exactly` hides: every member is a strict object, whose literal zod can find.)
 */
export function variants<const S extends readonly z.ZodType[]>(
  key: string,
  schemas: S,
): z.ZodType<z.output<S[number]>> {
  const members = schemas as unknown as [z.core.$ZodTypeDiscriminable, ...z.core.$ZodTypeDiscriminable[]];
  return z.discriminatedUnion(key, members) as unknown as z.ZodType<z.output<S[number]>>;
}

/**
 * A schema that is made anew when `version` has changed since it was last used. zod asks a lazy schema once; here the
 * answer changes when a layer is registered, so the property that holds it is replaced by a getter.
 */
export function growing<T>(version: () => number, make: () => z.ZodType<T>): z.ZodType<T> {
  let made: { readonly version: number; readonly schema: z.ZodType<T> } | undefined;
  const current = (): z.ZodType<T> => {
    if (made?.version !== version()) made = { version: version(), schema: make() };
    return made.schema;
  };
  const schema = z.lazy(current);
  Object.defineProperty(schema._zod, "innerType", { get: current });
  return schema;
}
