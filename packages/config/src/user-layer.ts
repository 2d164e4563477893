/**
 * Layers from outside these packages. A layer of one's own has a type with a namespace, such as `acme/ScaleLayer`, its
 * keys as zod schemas in manifest spelling, and the facts of a LayerSpec. Once registered it is written in manifests
 * like any other. A manifest never names code: the program (or `--import`) decides what is registered.
 */
import { z } from "zod";
import { ConfigError } from "./error.ts";
import type { LayerSpec } from "./layer-spec.ts";
import type { CamelKeys } from "./names.ts";
import { object, type RuleIssue } from "./schema.ts";

/** The type of a layer of one's own: a namespace, a slash, a name. */
export type UserLayerType = `${string}/${string}`;

/** A layer of one's own as other code sees it; its further keys are known to its spec and its class. */
export type UserLayerConfig = { type: UserLayerType };

/** The config that a layer's fields make: camelCase, defaults filled in. */
export type UserLayerConfigOf<S extends z.ZodRawShape> = { type: UserLayerType } & CamelKeys<
  z.output<z.ZodObject<S, z.core.$strict>>
>;

/** What a layer of one's own is. Methods are those of LayerSpec. */
export interface UserLayerSpec<S extends z.ZodRawShape>
  extends Omit<LayerSpec<UserLayerConfigOf<S>>, "type" | "schema"> {
  readonly type: UserLayerType;
  /** Keys in manifest spelling: `{ d_model: z.int().positive(), initial: z.number().default(0.1) }`. */
  readonly fields: S;
  /** Rules between keys, checked when each is valid by itself. */
  rules?(config: UserLayerConfigOf<S>): RuleIssue[];
}

const registered = new Map<string, LayerSpec<UserLayerConfig>>();

/** Specs of registered layers. */
export function userLayerSpecs(): readonly LayerSpec<UserLayerConfig>[] {
  return [...registered.values()];
}

/** The spec of a registered layer. */
export function userLayerSpec(type: string): LayerSpec<UserLayerConfig> | undefined {
  return registered.get(type);
}

/**
 * Makes a layer of one's own known to manifests, shape inference, plans and counts. Building it needs its class too:
 * `registerLayer` of @caramba/layers does both.
 * @throws ConfigError for a type without namespace, or one that is registered already.
 */
export function registerLayerSpec<S extends z.ZodRawShape>(definition: UserLayerSpec<S>): void {
  const { type, fields, rules, ...facts } = definition;
  if (!/^[A-Za-z][\w.-]*\/[A-Za-z]\w*$/.test(type))
    throw refusal(`expected a type such as "acme/ScaleLayer": a namespace, a slash, a name; found "${type}"`);
  if (registered.has(type)) throw refusal(`expected a type of its own, found "${type}", which is registered already`);
  const schema = object({ type: z.literal(type), ...fields }, rules as Parameters<typeof object>[1]);
  registered.set(type, { ...facts, type, schema } as unknown as LayerSpec<UserLayerConfig>);
}

function refusal(message: string): ConfigError {
  return new ConfigError("a layer of one's own", [{ code: "invalid_value", path: ["type"], message }]);
}
