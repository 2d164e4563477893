// Rotary settings of a Hugging Face config.json, in both forms: transformers 5 writes one object, rope_parameters, with
// the base in it; earlier ones wrote rope_theta and rope_scaling. Kinds: default, linear, llama3.

import type { RopeScaling } from "@caramba/config";
import type { Json } from "@caramba/files";
import { badConfig, clip, HfFields, type JsonObject, unsupported } from "./hf-fields.ts";

/** The part of an attention config that it decides. */
export interface RopeSettings {
  readonly ropeBase: number;
  readonly ropeScaling: RopeScaling | null;
}

/** Keys of a rope object that belong to kinds other than those here, or that repeat what is said elsewhere. */
const known = ["rope_theta", "rope_type", "type", "partial_rotary_factor"];
const byKind: Readonly<Record<string, readonly string[]>> = {
  default: [],
  linear: ["factor"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
};

/** @throws CarambaError `bad-config`; `unsupported-model` for kinds such as yarn, and for partial rotation. */
export function readRope(fields: HfFields, ropeBase: number): RopeSettings {
  const { place } = fields;
  const five = fields.optional("rope_parameters", "object");
  const four = fields.optional("rope_scaling", "object");
  if (five && four && JSON.stringify(bare(five)) !== JSON.stringify(bare(four)))
    throw badConfig(place, `rope_parameters is ${clip(five)}, but rope_scaling ${clip(four)}`);
  const key = five ? "rope_parameters" : "rope_scaling";
  const given = new HfFields(five ?? four ?? {}, place, `${key}.`);
  // The families that are read rotate whole heads: transformers 5.23 ignores the factor with rope_type default and fails
  // over the shapes with the others (fixtures/loader/config-keys.json), so that no right result is known.
  const remedy = "Models of this family rotate whole heads; say rope_dim in a manifest to rotate a part.";
  fields.demand("partial_rotary_factor", (value) => value === 1, remedy);
  given.demand("partial_rotary_factor", (value) => value === 1, remedy);
  fields.demand("rope_interleaved", (value) => value === false);
  const [inner, outer] = [given.optional("rope_theta", "positive"), fields.optional("rope_theta", "positive")];
  if (inner !== null && outer !== null && inner !== outer)
    throw badConfig(place, `rope_theta is ${outer}, but ${inner} in ${key}`);
  const base = inner ?? outer ?? ropeBase;
  const [type, old] = [given.optional("rope_type", "word"), given.optional("type", "word")];
  if (type !== null && old !== null && type !== old)
    throw badConfig(place, `${key}.rope_type is ${clip(type)}, but type ${clip(old)}`);
  const kind = type ?? old ?? "default";
  const expected = byKind[kind];
  if (!expected) throw unsupported(place, `${key} of type ${clip(kind)}`, 'Use "default", "linear" or "llama3".');
  const odd = Object.entries(given.json).find(
    ([name, value]) => value !== null && !known.includes(name) && !expected.includes(name) && kind !== "default",
  );
  if (odd) throw unsupported(place, `${key}.${odd[0]} with rope_type ${clip(kind)}`, "Use a checkpoint without it.");
  if (kind === "linear") {
    return { ropeBase: base, ropeScaling: { ropeType: "linear", factor: given.get("factor", "positive") } };
  }
  if (kind === "default") return { ropeBase: base, ropeScaling: null };
  const scaling = {
    ropeType: "llama3",
    factor: given.get("factor", "positive"),
    lowFreqFactor: given.get("low_freq_factor", "positive"),
    highFreqFactor: given.get("high_freq_factor", "positive"),
    originalMaxPositionEmbeddings: given.get("original_max_position_embeddings", "size"),
  } as const;
  return { ropeBase: base, ropeScaling: scaling };
}

function bare(object: JsonObject): JsonObject {
  const entries = Object.entries(object).filter(([key, value]) => key !== "rope_theta" && value !== null);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The older form, which every transformers reads. */
export function writeRope({ ropeBase, ropeScaling }: RopeSettings): Record<string, Json> {
  return { rope_scaling: hfScaling(ropeScaling), rope_theta: ropeBase };
}

function hfScaling(scaling: RopeScaling | null): JsonObject | null {
  if (!scaling || scaling.ropeType === "default") return null;
  if (scaling.ropeType === "linear") return { rope_type: "linear", factor: scaling.factor };
  return {
    rope_type: "llama3",
    factor: scaling.factor,
    low_freq_factor: scaling.lowFreqFactor,
    high_freq_factor: scaling.highFreqFactor,
    original_max_position_embeddings: scaling.originalMaxPositionEmbeddings,
  };
}
