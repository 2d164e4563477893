/** Words for stored keys and values: storage kinds and which tensor of a cache uses which. */
import { z } from "zod";
import { exactly, nonNegativeInt, object, positiveInt } from "./schema.ts";

/** How a cache stores numbers; q8_0, q4_0 and nf4 in blocks with one fp16 scale each. */
export type KVCacheKind = "fp16" | "fp32" | "q8_0" | "q4_0" | "nf4";

/** Every kind, best quality first among equals of the documents' order. */
export const kvCacheKinds: readonly KVCacheKind[] = ["fp32", "fp16", "q8_0", "nf4", "q4_0"];

/** One stored tensor. */
export interface KVCacheTensorConfig {
  kind: KVCacheKind;
  /** Numbers per scale. */
  qblock: number;
  /** Newest tokens kept in fp16 besides. */
  residualLen: number;
}

/** Storage per tensor; standard layers read k and v, decoupled ones kSem, kGeo and v. null: the caller's default. */
export interface KVCachePolicyConfig {
  k: KVCacheTensorConfig | null;
  kSem: KVCacheTensorConfig | null;
  kGeo: KVCacheTensorConfig | null;
  v: KVCacheTensorConfig | null;
}

/** A storage kind; the documents' `q8` and `q4` mean q8_0 and q4_0. */
export const kvCacheKindSchema: z.ZodType<KVCacheKind> = z
  .enum(["fp16", "fp32", "q8_0", "q4_0", "nf4", "q8", "q4"])
  .transform((kind) => (kind === "q8" ? "q8_0" : kind === "q4" ? "q4_0" : kind));

const tensorFields = exactly<KVCacheTensorConfig>()(
  object({
    kind: kvCacheKindSchema.prefault("fp16").describe("Storage kind"),
    qblock: positiveInt.default(32).describe("Numbers per scale"),
    residual_len: nonNegativeInt.default(0).describe("Newest tokens kept in fp16 besides"),
  }),
);

/** `{kind, qblock, residual_len}`, or only the kind. */
const tensor = z
  .preprocess((value) => (typeof value === "string" ? { kind: value } : value), tensorFields)
  .nullable()
  .default(null);

export const kvCachePolicySchema: z.ZodType<KVCachePolicyConfig> = exactly<KVCachePolicyConfig>()(
  object({
    k: tensor.describe("Keys of standard attention"),
    k_sem: tensor.describe("Semantic keys of decoupled attention"),
    k_geo: tensor.describe("Geometric keys of decoupled attention"),
    v: tensor.describe("Values"),
  }),
);
