// Layers from outside: what a manifest needs to know of one (its type, keys, widths, costs) and how to build it.
import { registerLayerSpec, type UserLayerConfig, type UserLayerConfigOf, type UserLayerSpec } from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import type { Module } from "./module.ts";

/** The zod schemas of a layer's keys. */
export type LayerFieldShapes = Parameters<typeof registerLayerSpec>[0]["fields"];

/** A layer of one's own. */
export interface UserLayer<S extends LayerFieldShapes> extends UserLayerSpec<S> {
  /** The layer, from a config with its defaults filled in. */
  build(config: UserLayerConfigOf<S>): Module;
}

const builders = new Map<string, (config: UserLayerConfig) => Module>();

/**
 * Makes a layer known: manifests and configs may use its type from here on, and models build it.
 *
 *     registerLayer({
 *       type: "acme/ScaleLayer",
 *       fields: { d_model: z.int().positive(), initial: z.number().default(0.1) },
 *       width: ({ dModel }) => ({ key: "d_model", value: dModel }),
 *       parameters: ({ dModel }) => dModel,
 *       build: (config) => new ScaleLayer(config),
 *     });
 *
 * @throws ConfigError for a type without namespace, or one that is registered already.
 */
export function registerLayer<S extends LayerFieldShapes>(layer: UserLayer<S>): void {
  const { build, ...spec } = layer;
  registerLayerSpec(spec as UserLayerSpec<S>);
  builders.set(layer.type, build as unknown as (config: UserLayerConfig) => Module);
}

/** Builds a registered layer. @throws CarambaError `unknown-layer`. */
export function buildUserLayer(config: UserLayerConfig): Module {
  const build = builders.get(config.type);
  if (!build)
    throw new CarambaError(`there is no layer ${config.type}`, {
      code: "unknown-layer",
      remedy: "import the module that registers it (registerLayer), or name it: caramba run M --import ./module.js",
    });
  return build(config);
}
