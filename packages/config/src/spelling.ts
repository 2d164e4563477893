/** Spellings that documents of the original use for keys that have another name today. Nothing else is accepted. */

const train: Readonly<Record<string, string>> = {
  lr_schedule: "scheduler",
  beta1: "adam_beta1",
  beta2: "adam_beta2",
  grad_clip: "grad_clip_norm",
};
const ropeScaling: Readonly<Record<string, string>> = { type: "rope_type" };
const cyclic: Readonly<Record<string, string>> = { repeat: "iterations" };
const lora: Readonly<Record<string, string>> = { rank: "r" };
const nothing: Readonly<Record<string, string>> = {};

/** Old spelling -> today's, for the mapping below key `under` whose `type` is `type`. */
export function oldSpellings(under: string, type: string): Readonly<Record<string, string>> {
  if (under === "train") return train;
  if (under === "rope_scaling") return ropeScaling;
  if (type === "LoRALinearLayer") return lora;
  return type === "CyclicTopology" ? cyclic : nothing;
}
