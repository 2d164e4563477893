// Layers from outside: what a manifest needs to know of one (its type, keys, widths, costs) and how to build it.
import {
  layerSpec,
  registerLayerSpec,
  type UserLayerConfig,
  type UserLayerConfigOf,
  type UserLayerSpec,
} from "@caramba/config";
import { CarambaError } from "@caramba/tensor";
import type { CachedModule, Module, StatefulModule } from "./module.ts";

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

/** Builds a registered layer. @throws CarambaError `unknown-layer`; `user-layer` for one that is not what it was said to be. */
export function buildUserLayer(config: UserLayerConfig): Module {
  const build = builders.get(config.type);
  if (!build)
    throw new CarambaError(`there is no layer ${config.type}`, {
      code: "unknown-layer",
      remedy: "import the module that registers it (registerLayer), or name it: caramba run M --import ./module.js",
    });
  return checked(build(config), config);
}

/** What plans were told of a layer must be what it is: they count, and size caches, without building it. */
function checked(layer: Module, config: UserLayerConfig): Module {
  const { type } = config;
  if (layer.type !== type) throw differs(type, "type", `"${type}"`, `"${layer.type}"`);
  const spec = layerSpec(config);
  const count = (trainable: boolean): number =>
    [...layer.variables().values()].reduce((n, v) => n + (v.trainable === trainable ? v.size : 0), 0);
  const facts: [key: string, told: number, is: number][] = [
    ["parameters", spec.parameters(config), count(true)],
    ["frozen", spec.frozen?.(config) ?? 0, count(false)],
    ["cacheElementsPerToken", spec.cacheElementsPerToken?.(config) ?? 0, remembered(layer).rows],
    ["stateElements", spec.stateElements?.(config) ?? 0, remembered(layer).states],
  ];
  for (const [key, told, is] of facts) if (told !== is) throw differs(type, key, String(told), String(is));
  return layer;
}

/** Numbers per token and per sequence that a layer and those inside it keep while decoding. */
function remembered(layer: Module): { readonly rows: number; readonly states: number } {
  let [rows, states] = [0, 0];
  for (const { module } of layer.modules()) {
    const { cacheParts = [], stateParts = [] } = module as Partial<CachedModule & StatefulModule>;
    for (const { heads, width } of cacheParts) rows += heads * width;
    for (const { shape } of stateParts) states += shape.reduce((a, b) => a * b, 1);
  }
  return { rows, states };
}

const differs = (type: string, key: string, told: string, is: string): CarambaError =>
  new CarambaError(`the layer ${type} is registered with ${key} ${told}, and what it builds has ${is}`, {
    code: "user-layer",
    remedy: `correct ${key} in its registerLayer`,
  });
