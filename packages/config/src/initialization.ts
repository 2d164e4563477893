/**
 * How the weights of a new model begin. By default every layer has its own scheme; the others give every linear map of
 * the model one standard deviation, whatever its width.
 */
import { z } from "zod";
import { exactly, object, positive, variants } from "./schema.ts";

/** Each layer's own scheme (docs/manifests.md lists them). */
export interface DefaultInitialization {
  scheme: "default";
}

/** Weights of linear maps and embeddings: normal with this standard deviation, as Llama with 0.02. */
export interface NormalInitialization {
  scheme: "normal";
  std: number;
}

/**
 * The same, and the maps that end residual branches smaller by the square root of the number of branches, so that the
 * sum of all branches has one branch's variance (Radford et al., "Language models are unsupervised multitask learners",
 * 2019).
 */
export interface Gpt2Initialization {
  scheme: "gpt2";
  std: number;
}

export type InitializationConfig = DefaultInitialization | NormalInitialization | Gpt2Initialization;

const std = positive.default(0.02).describe("Standard deviation of the weights of linear maps and embeddings");

export const initializationSchema: z.ZodType<InitializationConfig> = variants("scheme", [
  exactly<DefaultInitialization>()(object({ scheme: z.literal("default") })),
  exactly<NormalInitialization>()(object({ scheme: z.literal("normal"), std })),
  exactly<Gpt2Initialization>()(object({ scheme: z.literal("gpt2"), std })),
]);
