// A model without LoRA layers that computes the same: each update is summed into its weight, and the config says
// LinearLayer. What reads plain models (export, other programs) can then read it.
import { type LoRALinearLayerConfig, type ModelConfig, mergedLoraConfig } from "@caramba/config";
import { joinPath, LoRALinearLayer } from "@caramba/layers";
import { CarambaError, type HostArray } from "@caramba/tensor";
import { Model } from "./model.ts";

/**
 * A copy of the model with every LoRALinearLayer merged into a LinearLayer. `alpha / r * A B` is summed in float64 and
 * the sum rounded once; dropout of the update is dropped, since it acts in training alone.
 */
export async function mergeLora(model: Model): Promise<Model> {
  const merged = new Model(withoutLora(model.config));
  const weights = new Map<string, Promise<HostArray>>();
  for (const { path, module } of model.modules())
    if (module instanceof LoRALinearLayer) weights.set(joinPath(path, "weight"), module.mergedWeight());
  const before = model.variables();
  for (const [path, variable] of merged.variables()) {
    const value = weights.get(path) ?? before.get(path)?.read();
    if (!value) throw new CarambaError(`the model has no parameter ${path}`, { code: "internal" });
    variable.write(await value);
  }
  return merged;
}

/** Paths of the parameters that LoRA layers add to a plain model, A and B of each: what a plain checkpoint has not. */
export function adapterPaths(model: Model): Set<string> {
  const layers = model.modules().filter(({ module }) => module instanceof LoRALinearLayer);
  return new Set(layers.flatMap(({ path }) => [joinPath(path, "lora_a"), joinPath(path, "lora_b")]));
}

/** The config with every LoRALinearLayer replaced by the LinearLayer that it adapts; parameters keep their paths. */
export function withoutLora(config: ModelConfig): ModelConfig {
  const visit = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value !== "object" || value === null) return value;
    if ((value as { type?: unknown }).type === "LoRALinearLayer")
      return mergedLoraConfig(value as LoRALinearLayerConfig);
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, visit(member)]));
  };
  return { ...config, topology: visit(config.topology) as ModelConfig["topology"] };
}
